// Sizes in bytes.
#pragma once

#include <cstdint>

namespace vireo {

inline constexpr uint64_t KiB = 1024, MiB = 1024 * KiB, GiB = 1024 * MiB, TiB = 1024 * GiB;

}  // namespace vireo
