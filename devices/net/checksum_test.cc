#include "devices/net/checksum.h"

#include <cstdint>
#include <vector>

#include <catch2/catch.hpp>

namespace vireo::dev {
namespace {

std::vector<std::byte> bytes(std::initializer_list<int> values) {
  std::vector<std::byte> out;
  for (const int value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

// As the specification has it, word by word.
uint16_t plain_sum(const std::vector<std::byte>& data) {
  uint32_t sum = 0;
  for (size_t i = 0; i < data.size(); i += 2) {
    const auto low = std::to_integer<uint32_t>(data[i]);
    const auto high = i + 1 < data.size() ? std::to_integer<uint32_t>(data[i + 1]) : 0;
    sum += low | high << 8;
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(sum);
}

}  // namespace

TEST_CASE("sums of any length and content are those of 16-bit words") {
  uint32_t state = 1;
  for (size_t length = 0; length < 70; ++length) {
    std::vector<std::byte> data(length);
    for (std::byte& byte : data)
      byte = static_cast<std::byte>((state = state * 1103515245 + 12345) >> 24);
    CHECK(internet_sum(data) == plain_sum(data));
    std::fill(data.begin(), data.end(), std::byte{0xff});
    CHECK(internet_sum(data) == plain_sum(data));
  }
  const std::vector<std::byte> large(65535, std::byte{0xff});
  CHECK(internet_sum(large) == plain_sum(large));
}

// An IPv4 header from RFC 1071's successor texts: its checksum is b861.
TEST_CASE("a checksum is finished in place") {
  auto frame = bytes({0xee, 0xee, 0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40,
                      0x11, 0x00, 0x00, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7});
  finish_checksum(frame, 2, 10);
  CHECK(frame[12] == std::byte{0xb8});
  CHECK(frame[13] == std::byte{0x61});
  CHECK(internet_sum(std::span(frame).subspan(2)) == 0xffff);
}

TEST_CASE("a checksum of zero is written as its equal") {
  auto frame = bytes({0xff, 0xff, 0x00, 0x00});
  finish_checksum(frame, 0, 2);
  CHECK(frame == bytes({0xff, 0xff, 0xff, 0xff}));
}

}  // namespace vireo::dev
