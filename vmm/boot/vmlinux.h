// The ELF kernel inside a bzImage, unpacked on the host or found in the cache.
//
// Thread: control. Owns the unpacked bytes (up to tens of megabytes) or the cache's file while it
// lives.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "vmm/base/log.h"
#include "vmm/boot/bzimage.h"
#include "vmm/boot/elf.h"
#include "vmm/boot/image.h"
#include "vmm/boot/unpack.h"

namespace vireo {

struct Vmlinux {
  std::optional<Pages> pages{};  // what `image` reads, unless that is a file
  std::unique_ptr<Image> image{};
  ElfFile elf{};
  uint64_t entry = 0;  // physical, inside a segment
};

// Nothing when the guest must unpack it by itself: the packing is unknown here, or there is no
// 64-bit ELF file in it. Throws ConfigError when the packed data is corrupt. `cache` may be empty.
std::optional<Vmlinux> extract_vmlinux(const FileImage& file, const BzImage& bzimage,
                                       const std::filesystem::path& cache, const Logger& log);

}  // namespace vireo
