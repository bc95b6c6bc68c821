#include "vmm/boot/firmware.h"

#include <algorithm>
#include <array>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/boot/image.h"
#include "vmm/memory/layout.h"

namespace vireo {

namespace {

constexpr uint64_t kUnit = 64 * KiB;
constexpr uint64_t kMost = layout::kRamGapEnd - layout::kFlash;

}  // namespace

FirmwareBoot read_firmware(const std::filesystem::path& path) {
  const FileImage file("firmware", path);
  if (file.size() % kUnit != 0 || file.size() > kMost)
    throw ConfigError(fmt::format(
        "{} has {} bytes, and a BIOS has a multiple of 64 KiB, up to {} MiB: give the file of a "
        "BIOS, such as SeaBIOS",
        file.name(), file.size(), kMost / MiB));
  FirmwareBoot firmware{std::vector<std::byte>(file.size())};
  file.read(0, firmware.image);
  return firmware;
}

std::span<const std::filesystem::path> known_firmware() {
  static const std::array<std::filesystem::path, 2> kFiles{"/usr/share/seabios/bios-256k.bin",
                                                           "/usr/share/seabios/bios-microvm.bin"};
  return kFiles;
}

std::filesystem::path find_firmware(std::span<const std::filesystem::path> candidates) {
  for (const auto& path : candidates)
    if (std::error_code ignored; std::filesystem::exists(path, ignored)) return path;
  throw ConfigError(
      "no BIOS was found to start a disk with: install the package seabios, name one (--firmware), "
      "or name a kernel (--kernel)");
}

const std::filesystem::path& known_vga_rom() {
  static const std::filesystem::path kFile = "/usr/share/seabios/vgabios-ramfb.bin";
  return kFile;
}

std::vector<std::byte> read_vga_rom(const std::filesystem::path& path) {
  constexpr uint64_t kMostOfRom = 128 * KiB;  // its size is a byte's number of 512 bytes
  if (std::error_code ignored; !std::filesystem::exists(path, ignored)) return {};
  const FileImage file("option ROM", path);
  if (file.size() > kMostOfRom)
    throw ConfigError(
        fmt::format("{} has {} bytes, more than an option ROM can have", file.name(), file.size()));
  std::vector<std::byte> rom(file.size());
  file.read(0, rom);
  return rom;
}

void load_firmware(GuestMemory& memory, const FirmwareBoot& firmware) {
  constexpr uint64_t kEnd = layout::kHighRamStart;
  const std::span<const std::byte> image = firmware.image;
  const auto low = image.last(std::min<size_t>(image.size(), kEnd - layout::kShadow));
  VMM_CHECK(memory.write(kEnd - low.size(), low), "the first MiB is always RAM");
}

}  // namespace vireo
