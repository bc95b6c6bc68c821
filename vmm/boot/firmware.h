// A PC's firmware: the file of a BIOS, such as SeaBIOS, which finds and starts what is on a disk.
//
// Thread: control, before the vCPUs run. Values; sizes in bytes. Errors: ConfigError that names the
// file and says what to do.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

#include "vmm/memory/guest_memory.h"

namespace vireo {

// The processor starts in it as after a reset, at F000:FFF0 with the code segment's base at 4 GiB
// minus 64 KiB (SDM volume 3, 10.1.4). A read-only copy that ends at 4 GiB is a device's
// (devices/firmware/flash.h); what is loaded here is the writable one below 1 MiB.
struct FirmwareBoot {
  std::vector<std::byte> image{};
};

// The file is a multiple of 64 KiB, and at most as large as the place for it below 4 GiB.
FirmwareBoot read_firmware(const std::filesystem::path& path);

// Where distributions keep a BIOS that needs no PCI, the more capable one first.
std::span<const std::filesystem::path> known_firmware();
// The first of them that is there.
std::filesystem::path find_firmware(std::span<const std::filesystem::path> candidates);

// Where distributions keep the option ROM by which SeaBIOS draws into a framebuffer in RAM.
const std::filesystem::path& known_vga_rom();
// Empty when there is none; ConfigError when it cannot be read, or is larger than a ROM can be.
std::vector<std::byte> read_vga_rom(const std::filesystem::path& path);

// Puts the image where it ends at 1 MiB, all of it unless it is larger than what a PC shadows.
void load_firmware(GuestMemory& memory, const FirmwareBoot& firmware);

}  // namespace vireo
