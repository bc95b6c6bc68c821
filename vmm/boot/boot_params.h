// The "zero page" that a Linux kernel finds in rsi (Linux, Documentation/arch/x86/zero-page.rst).
//
// Thread: control. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "vmm/boot/framebuffer.h"
#include "vmm/boot/ram_map.h"
#include "vmm/bus.h"

namespace vireo {

struct BootParams {
  std::span<const std::byte> setup_header{};  // of the bzImage; empty: one is made up
  bool kaslr = false;                         // the kernel may randomise its memory areas
  uint64_t command_line = 0;                  // address
  std::optional<Range> initrd{};
  uint64_t acpi_rsdp = 0;  // 0: none
  std::span<const E820Entry> e820{};
  std::optional<LinearFramebuffer> framebuffer{};
};

using ZeroPage = std::array<std::byte, 4096>;
ZeroPage make_zero_page(const BootParams& params);

}  // namespace vireo
