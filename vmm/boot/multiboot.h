// Multiboot-1 kernels (Multiboot Specification 0.6.96): ELF files, or flat images whose header says
// where they go. Small and test kernels use it.
//
// Thread: control. The file is hostile and checked here; throws ConfigError.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "vmm/boot/entry.h"
#include "vmm/boot/framebuffer.h"
#include "vmm/boot/image.h"
#include "vmm/boot/ram_map.h"
#include "vmm/bus.h"
#include "vmm/memory/guest_memory.h"

namespace vireo {

struct MultibootHeader {
  uint64_t offset = 0;  // in the file
  uint32_t flags = 0;
  uint32_t header_address = 0, load_address = 0, load_end = 0, bss_end = 0, entry = 0;

  bool has_addresses() const noexcept { return (flags & 1U << 16) != 0; }
};

// Nothing when there is no header in the first 8 KiB.
std::optional<MultibootHeader> find_multiboot_header(const Image& image);

// Copies the kernel to where its header (or else its ELF segments) say; returns the entry point.
uint64_t load_multiboot(const Image& image, const MultibootHeader& header, GuestMemory& memory,
                        RamMap& ram);

struct MultibootBoot {
  uint64_t entry = 0;
  EntryArea area{};               // the command line lies there already
  std::optional<Range> initrd{};  // passed as a module without a name
  std::span<const E820Entry> e820{};
  std::optional<LinearFramebuffer> framebuffer{};
};

EntryState enter_multiboot(GuestMemory& memory, const MultibootBoot& boot);

}  // namespace vireo
