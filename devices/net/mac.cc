#include "devices/net/mac.h"

#include <charconv>

#include <fmt/core.h>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/boot/sha256.h"

namespace vireo::dev {

namespace {

uint8_t hex_byte(std::string_view digits, bool& ok) {
  uint8_t value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  ok = ok && error == std::errc() && end == digits.data() + digits.size();
  return value;
}

}  // namespace

MacAddress parse_mac(std::string_view text) {
  MacAddress address{};
  bool ok = text.size() == 17;
  for (size_t i = 0; ok && i < address.size(); ++i) {
    if (i > 0 && text[3 * i - 1] != ':') ok = false;
    address[i] = hex_byte(text.substr(3 * i, 2), ok);
  }
  if (!ok)
    throw ConfigError(
        fmt::format("'{}' is not a MAC address: write six bytes such as 52:54:00:12:34:56", text));
  if ((address[0] & 1) != 0)
    throw ConfigError(fmt::format(
        "the MAC address {} is a multicast one: the first byte of an interface's is even", text));
  if (address == MacAddress{}) throw ConfigError("the MAC address 00:00:00:00:00:00 is nobody's");
  return address;
}

std::string to_string(const MacAddress& a) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", a[0], a[1], a[2], a[3], a[4],
                     a[5]);
}

MacAddress derive_mac(std::string_view machine, size_t index) {
  const std::string hash = sha256_hex(bytes_of_text(fmt::format("{}\n{}", machine, index)));
  bool ok = true;
  return {0x52,
          0x54,
          0x00,
          hex_byte(std::string_view(hash).substr(0, 2), ok),
          hex_byte(std::string_view(hash).substr(2, 2), ok),
          hex_byte(std::string_view(hash).substr(4, 2), ok)};
}

}  // namespace vireo::dev
