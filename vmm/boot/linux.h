// Loading a kernel: Linux as bzImage or vmlinux, and other kernels through PVH or multiboot.
//
//   form of the file                               entered by
//   bzImage, unpacked on the host                  the 64-bit protocol at the ELF's entry point
//   bzImage, not unpacked                          the 64-bit protocol at load address + 0x200
//   ELF64 that notes itself as Linux               the 64-bit protocol at its entry point
//   other ELF with a PVH note                      PVH
//   other ELF or flat image, multiboot-1 header    multiboot
//   any other ELF64                                the 64-bit protocol at its entry point
//
// Thread: control, before the vCPUs run. Owns nothing afterwards: what was read or unpacked lies in
// guest memory only. Everything in the files is checked; what is wrong with one is a ConfigError of
// one sentence that names it. Sizes in bytes, addresses guest-physical.
//
// KASLR: a bzImage that is unpacked here is loaded at the physical and virtual address it was
// linked for, as with CONFIG_RANDOMIZE_BASE off: no relocations are processed. The bases of the
// direct map, vmalloc and vmemmap areas are still randomised by the kernel itself (it is told that
// KASLR is wanted, unless the command line says nokaslr). Whoever wants the kernel's text
// randomised as well uses Unpack::never and pays for the guest's own decompressor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vmm/base/log.h"
#include "vmm/boot/acpi_namespace.h"
#include "vmm/boot/entry.h"
#include "vmm/boot/framebuffer.h"
#include "vmm/boot/kernel_cache.h"
#include "vmm/boot/ram_map.h"
#include "vmm/boot/smbios.h"
#include "vmm/memory/guest_memory.h"

namespace vireo {

enum class Unpack : uint8_t { automatic, never };
enum class BootProtocol : uint8_t { automatic, linux64, pvh, multiboot };

struct LinuxBoot {
  std::filesystem::path kernel{};
  std::filesystem::path initrd{};  // empty: none
  std::string cmdline{};
  Unpack unpack = Unpack::automatic;
  BootProtocol protocol = BootProtocol::automatic;
  std::filesystem::path cache = default_kernel_cache();  // of unpacked kernels; empty: no cache
  // A screen that is there when the kernel starts. PVH has no way to tell of one.
  std::optional<LinearFramebuffer> framebuffer{};
  std::optional<SmbiosTables> smbios{};  // none: the kernel finds none
};

struct LoadedKernel {
  EntryState entry{};
  std::vector<E820Entry> e820{};
};

// `memory` is new or cleared. `acpi_rsdp` is where the RSDP lies or will lie, 0 for none.
LoadedKernel load_linux(GuestMemory& memory, const LinuxBoot& boot, uint64_t acpi_rsdp,
                        const Logger& log = {});

// Whether the kernel is Linux, by its form or what it notes of itself. Throws as load_linux() does
// when the file is missing or corrupt.
bool is_linux(const LinuxBoot& boot);

// The command line with a virtio_mmio.device= parameter for each virtio-mmio device, for kernels
// that do not read them from ACPI. They go first, since what follows a "--" is not the kernel's.
std::string with_virtio_mmio(const std::string& cmdline, std::span<const AcpiDevice> devices);

// The command line with the screen as one of the consoles (console=tty0), unless it names one of
// the screen's itself. It goes first: the last console that is named is the one that /dev/console
// stands for, and that stays what it was.
std::string with_screen_console(const std::string& cmdline);

}  // namespace vireo
