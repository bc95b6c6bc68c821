// The Internet checksum (RFC 1071) of frames that their sender left unfinished. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vireo::dev {

// The ones' complement sum of the bytes as 16-bit words in the byte order of this machine.
uint16_t internet_sum(std::span<const std::byte> bytes) noexcept;

// Sums up from `start` to the end of the frame, where the field at `start` + `offset` holds the sum
// of what is not there (the pseudo-header), and puts the checksum into the field. All of it lies in
// the frame.
void finish_checksum(std::span<std::byte> frame, size_t start, size_t offset) noexcept;

}  // namespace vireo::dev
