// Ethernet addresses as users write them, and the ones that machines get when nobody does. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace vireo::dev {

using MacAddress = std::array<uint8_t, 6>;

// "52:54:00:12:34:56"; throws ConfigError unless it is an address that one interface may have.
MacAddress parse_mac(std::string_view text);
std::string to_string(const MacAddress& address);

// Always the same for the same machine and interface: 52:54:00 and three bytes of a hash.
MacAddress derive_mac(std::string_view machine, size_t index);

}  // namespace vireo::dev
