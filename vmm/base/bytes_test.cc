#include "vmm/base/bytes.h"

#include <array>
#include <string>

#include <catch2/catch.hpp>

using namespace vireo;

namespace {

struct Header {
  be32 magic;
  le16 version;
  uint8_t flags;
  be64 offset;
};
static_assert(sizeof(Header) == 15 && alignof(Header) == 1);
static_assert(Wire<Header> && Wire<le16> && Wire<uint32_t> && Wire<std::array<uint16_t, 3>>);

struct Padded {
  uint8_t a;
  uint32_t b;
};
// Each of these would put bytes of our own memory on the wire.
static_assert(!Wire<Padded> && !Wire<const char*> && !Wire<std::string_view> &&
              !Wire<std::span<const uint8_t>> && !Wire<std::string>);

template <class... Bytes>
std::vector<std::byte> bytes(Bytes... values) {
  return {static_cast<std::byte>(values)...};
}

template <class T>
std::vector<std::byte> laid_out(const T& value) {
  const auto raw = bytes_of(value);
  return {raw.begin(), raw.end()};
}

}  // namespace

TEST_CASE("byteswap reverses each width") {
  STATIC_REQUIRE(byteswap(uint8_t{0x12}) == 0x12);
  STATIC_REQUIRE(byteswap(uint16_t{0x1234}) == 0x3412);
  STATIC_REQUIRE(byteswap(uint32_t{0x12345678}) == 0x78563412);
  STATIC_REQUIRE(byteswap(uint64_t{0x0102030405060708}) == 0x0807060504030201);
}

TEST_CASE("wire integers lie in their own byte order and convert both ways") {
  REQUIRE(laid_out(le16(0x1234)) == bytes(0x34, 0x12));
  REQUIRE(laid_out(be16(0x1234)) == bytes(0x12, 0x34));
  REQUIRE(laid_out(le64(0x0102030405060708)) == bytes(8, 7, 6, 5, 4, 3, 2, 1));
  REQUIRE(laid_out(be64(0x0102030405060708)) == bytes(1, 2, 3, 4, 5, 6, 7, 8));
  STATIC_REQUIRE(be32(0xdeadbeef) == 0xdeadbeef);
  STATIC_REQUIRE(le32(0xdeadbeef) == 0xdeadbeef);
  STATIC_REQUIRE(be32() == 0);
}

TEST_CASE("a wire struct is read as it lies, at any alignment") {
  const auto raw = bytes(0, 'Q', 'F', 'I', 0xfb, 3, 0, 0x80, 0, 0, 0, 0, 0, 0, 1, 0);
  ByteReader reader(std::span<const std::byte>(raw).subspan(1));
  const auto header = reader.get<Header>();
  REQUIRE(reader.at_end());
  REQUIRE(header.magic == 0x514649fb);
  REQUIRE(header.version == 3);
  REQUIRE(header.flags == 0x80);
  REQUIRE(header.offset == 256);
}

TEST_CASE("a reader takes in order and knows its end") {
  const auto raw = bytes(1, 2, 3, 4);
  ByteReader reader(raw);
  REQUIRE(reader.get<uint8_t>() == 1);
  REQUIRE(reader.rest().size() == 3);
  REQUIRE(!reader.at_end());
  REQUIRE(reader.take(0).empty());
  const auto last = reader.take(3);
  REQUIRE(std::vector(last.begin(), last.end()) == bytes(2, 3, 4));
  REQUIRE(reader.at_end());
}

TEST_CASE("a reader that ran past its end stays failed and gives zeros") {
  const auto raw = bytes(1, 2, 3);
  ByteReader reader(raw);
  REQUIRE(reader.get<le32>() == 0);
  REQUIRE(!reader.ok());
  REQUIRE(reader.get<uint8_t>() == 0);  // there would be one
  REQUIRE(reader.take(0).data() == nullptr);
  REQUIRE(!reader.at_end());
}

TEST_CASE("a reader refuses a length near the top of size_t") {
  const auto raw = bytes(1, 2, 3);
  ByteReader reader(raw);
  reader.get<uint8_t>();
  REQUIRE(reader.take(~size_t{0}).empty());
  REQUIRE(!reader.ok());
}

TEST_CASE("a caller can fail a reader") {
  const auto raw = bytes(1);
  ByteReader reader(raw);
  reader.fail();
  REQUIRE(reader.get<uint8_t>() == 0);
  REQUIRE(!reader.ok());
}

TEST_CASE("bytes are all zero when none of them is anything else") {
  std::array<std::byte, 100> bytes{};
  REQUIRE(all_zero({}));
  REQUIRE(all_zero(bytes));
  for (const size_t at : {size_t{0}, size_t{1}, size_t{50}, bytes.size() - 1}) {
    bytes[at] = std::byte{1};
    REQUIRE_FALSE(all_zero(bytes));
    bytes[at] = std::byte{0};
  }
}

TEST_CASE("an empty reader is at its end") {
  ByteReader reader({});
  REQUIRE(reader.at_end());
  REQUIRE(reader.take(1).empty());
  REQUIRE(!reader.ok());
}

TEST_CASE("a writer appends structs, spans, text and zeros") {
  ByteWriter writer;
  writer.put(be16(0x0102));
  writer.put(bytes_of_text("ab"));
  writer.zeros(2);
  writer.put(uint8_t{9});
  const auto more = bytes(7, 8);
  writer.put(more);
  REQUIRE(writer.size() == 9);
  writer.bytes()[0] = std::byte{0xff};
  REQUIRE(writer.take() == bytes(0xff, 2, 'a', 'b', 0, 0, 9, 7, 8));
}

TEST_CASE("writable_bytes_of changes the value under it") {
  le32 value = 0;
  writable_bytes_of(value)[1] = std::byte{1};
  REQUIRE(value == 256);
}

TEST_CASE("what a writer wrote a reader reads") {
  ByteWriter writer;
  writer.put(Header{0x514649fb, 3, 1, 0x123456789abcdef0});
  const auto raw = writer.take();
  const auto header = ByteReader(raw).get<Header>();
  REQUIRE(header.offset == 0x123456789abcdef0);
  REQUIRE(header.magic == 0x514649fb);
}
