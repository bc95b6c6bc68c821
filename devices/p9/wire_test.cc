#include "devices/p9/wire.h"

#include <set>
#include <string>

#include <catch2/catch.hpp>

namespace vireo::p9 {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte value : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    text.push_back(kDigits[std::to_integer<int>(value) >> 4]);
    text.push_back(kDigits[std::to_integer<int>(value) & 15]);
  }
  return text;
}

std::optional<Request> decoded(const std::vector<std::byte>& message) {
  const Header header = decode_header(std::span(message).first<kHeaderSize>());
  CHECK(header.size == message.size());
  const RequestInfo* const info = find_request(header.type);
  REQUIRE(info != nullptr);
  return info->decode(std::span(message).subspan(kHeaderSize));
}

}  // namespace

TEST_CASE("messages lie on the wire as the protocol has them") {
  CHECK(hex(encode(Tversion::kType, kNoTag, Tversion{8192, "9P2000.L"})) ==
        "15000000"
        "64"
        "ffff"
        "00200000"
        "0800"
        "3950323030302e4c");
  Twalk walk{1, 2};
  walk.names.push("a");
  walk.names.push("bc");
  CHECK(hex(encode(Twalk::kType, 3, walk)) ==
        "18000000"
        "6e"
        "0300"
        "01000000"
        "02000000"
        "0200"
        "010061"
        "02006263");
  CHECK(hex(encode(Twrite::kType, 4, Twrite{5, 6, {7}}, 7)) ==
        "1e000000"
        "76"
        "0400"
        "05000000"
        "0600000000000000"
        "07000000");
  CHECK(hex(encode(Tattach::kType + 1, 1, Rqid{{QidType::directory, 0x01020304, 5}})) ==
        "14000000"
        "69"
        "0100"
        "80"
        "04030201"
        "0500000000000000");
  CHECK(encode(Tgetattr::kType + 1, 1, Rgetattr{}).size() == 160);
  CHECK(encode(Tstatfs::kType + 1, 1, Rstatfs{}).size() == 67);
  CHECK(encode(Tsetattr::kType, 1, Tsetattr{}).size() == 67);
}

TEST_CASE("what is encoded is decoded") {
  Tlock lock{.fid = 9, .type = 1, .flags = 2, .start = 3, .length = 4, .process = 5};
  lock.client = "guest";
  const auto bytes = encode(Tlock::kType, 1, lock);
  const auto request = decoded(bytes);
  REQUIRE(request);
  const auto& back = std::get<Tlock>(*request);
  CHECK(back.fid == 9);
  CHECK(back.length == 4);
  CHECK(back.client == "guest");
}

TEST_CASE("the table has each request once, and no message shorter or longer than its fields") {
  std::set<uint8_t> types;
  for (const RequestInfo& info : kRequests) {
    CHECK(types.insert(info.type).second);
    CHECK(info.type % 2 == 0);
    CHECK(find_request(info.type) == &info);
    // Zeros are a message of empty strings and lists.
    for (size_t size = 0; size < info.least + 4; ++size) {
      const std::vector<std::byte> fields(size);
      CHECK(info.decode(fields).has_value() == (size == info.least));
    }
  }
  CHECK(find_request(Rlerror::kType) == nullptr);
  CHECK(find_request(0) == nullptr);
}

TEST_CASE("more names than a walk may have are refused") {
  ByteWriter fields;
  fields.put(le32(1));
  fields.put(le32(2));
  fields.put(le16(kMaxWalk + 1));
  fields.zeros(2 * (kMaxWalk + 1));
  CHECK_FALSE(find_request(Twalk::kType)->decode(fields.bytes()));
}

TEST_CASE("a string longer than its message is refused") {
  auto bytes = encode(Tversion::kType, 1, Tversion{8192, "9P2000.L"});
  bytes[kHeaderSize + 4] = std::byte{9};
  CHECK_FALSE(find_request(Tversion::kType)->decode(std::span(bytes).subspan(kHeaderSize)));
  bytes[kHeaderSize + 4] = std::byte{7};
  CHECK_FALSE(find_request(Tversion::kType)->decode(std::span(bytes).subspan(kHeaderSize)));
}

}  // namespace vireo::p9
