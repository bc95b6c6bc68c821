// SHA-256 (FIPS 180-4). Any thread; pure.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace vireo {

// The digest in 64 lower-case hexadecimal digits.
std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace vireo
