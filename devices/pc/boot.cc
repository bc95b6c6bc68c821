#include "devices/pc/boot.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::pc {

namespace {

constexpr uint32_t kLastIndex = std::numeric_limits<uint32_t>::max();

void check_kind(char kind) {
  if (kind == BootDevice::disk || kind == BootDevice::cd) return;
  if (kind == 'n')
    throw ConfigError(
        "'n': the BIOS has no driver for the network: start a kernel (--kernel FILE)");
  throw ConfigError(fmt::format("'{}': it is made of c (disks) and d (CDs)", kind));
}

void set_kinds(std::string& kinds, const std::string& text) {
  for (size_t i = 0; i < text.size(); ++i) {
    check_kind(text[i]);
    if (text.find(text[i]) != i) throw ConfigError(fmt::format("'{}' comes twice", text[i]));
  }
  kinds = text;
}

}  // namespace

Keys keys_of(BootSpec& boot) {
  return Keys()
      .word(
          {"order", "LETTERS",
           "what is tried first: c the disks, d the CDs (cd); bootindex of a disk goes before"},
          [&boot](const std::string& text) { set_kinds(boot.order, text); },
          [&boot] { return boot.order; })
      .word(
          {"once", "LETTERS", "the same until the first reset, and before any bootindex"},
          [&boot](const std::string& text) { set_kinds(boot.once, text); },
          [&boot] { return boot.once; })
      .flag({"menu", "on", "the BIOS offers a menu, on the serial port"}, boot.menu)
      .number({"menu-wait", "MS", "how long it waits for the key that opens the menu (2500)"},
              boot.menu_wait);
}

void check(std::string_view of, const BootSpec& boot) {
  if (!boot.menu && boot.menu_wait != BootSpec().menu_wait)
    throw ConfigError(fmt::format("{}: menu-wait: there is no menu without menu=on", of));
}

uint32_t parse_bootindex(const std::string& text) {
  return static_cast<uint32_t>(parse_number("", text, 0, kLastIndex - 1));
}

std::string disk_path(uint64_t address) {
  return fmt::format("/virtio-mmio@{:016x}/disk@0,0", address);
}

std::string scsi_path(uint64_t address, size_t target) {
  return fmt::format("/virtio-mmio@{:016x}/channel@0/disk@{:x},0", address, target);
}

std::string boot_order(const BootSpec& boot, std::vector<BootDevice> devices, bool first) {
  const std::string once = first ? boot.once : "";
  // What is not found comes last: npos is the largest number.
  const auto rank = [&](const BootDevice& device) {
    return std::tuple(once.find(device.kind), device.bootindex.value_or(kLastIndex),
                      boot.order.find(device.kind), device.kind);
  };
  std::ranges::stable_sort(devices, {}, rank);
  std::vector<std::string> paths;
  paths.reserve(devices.size());
  for (BootDevice& device : devices) paths.push_back(std::move(device.path));
  return fmt::format("{}", fmt::join(paths, "\n"));
}

}  // namespace vireo::pc
