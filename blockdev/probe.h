// What a file's beginning says about its format: the signatures of disk images, those that are only
// known by name among them. Whoever writes a raw disk chooses its beginning: a caller that looks
// opens nothing that the image names (References::none).
//
// Pure; any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace vireo::blk {

// Bytes from the start that probe_format() wants to see, as far as the file has them.
inline constexpr size_t kProbeBytes = 512;

// QEMU's name of the format, "raw" for what starts like none.
std::string probe_format(std::span<const std::byte> start);

}  // namespace vireo::blk
