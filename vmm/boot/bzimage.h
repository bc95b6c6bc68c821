// The Linux kernel as distributions ship it: real-mode setup code with a header, then the
// protected-mode code with the packed kernel in it (Linux, Documentation/arch/x86/boot.rst, boot
// protocol 2.06 and later).
//
// Thread: any; pure. The file is hostile: every offset and size is checked here. Throws
// ConfigError.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmm/boot/image.h"

namespace vireo {

struct BzImage {
  struct Extent {  // lies in the file
    uint64_t offset = 0;
    uint64_t length = 0;
  };
  std::vector<std::byte> setup_header{};  // as in the file, from kSetupHeader on
  Extent code{};                          // the protected-mode part
  std::optional<Extent> payload{};        // the packed kernel
  bool has_64bit_entry = false;
  bool relocatable = false;
  uint32_t alignment = 0;          // a power of two when relocatable
  uint64_t preferred_address = 0;  // where it wants to run
  uint32_t init_size = 0;          // and how much memory it needs there until it can look around
  uint32_t command_line_size = 0;  // without the terminating zero
  uint64_t initrd_limit = 0;       // the first address the initrd may not touch
  std::string release{};           // "6.1.0-41-amd64", of letters, digits and ".+-_~"; or empty

  static constexpr uint64_t kSetupHeader = 0x1f1;     // in the file and in boot_params alike
  static constexpr uint64_t kSetupHeaderEnd = 0x290;  // of boot_params: the header ends before it
  static constexpr uint64_t kEntry64 = 0x200;         // into the protected-mode part
};

// Nothing when the image has no setup header.
std::optional<BzImage> parse_bzimage(const Image& image);

}  // namespace vireo
