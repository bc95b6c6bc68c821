// What a BIOS starts, as `vireo run --boot` and descriptions in JSON tell it, and as the BIOS reads
// it. Plain values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "devices/pc/keys.h"

namespace vireo::pc {

struct BootSpec {
  std::string order{};        // of kinds, each a BootDevice::Kind; others come last
  std::string once{};         // kinds that come before all, until the first reset
  bool menu = false;          // which asks what to start
  uint16_t menu_wait = 2500;  // ms, for the key that opens it
  bool operator==(const BootSpec&) const = default;
};

Keys keys_of(BootSpec& boot);
// What no key by itself can tell. Throws ConfigError that begins with `of`.
void check(std::string_view of, const BootSpec& boot);

// What can be started.
struct BootDevice {
  enum Kind : char { disk = 'c', cd = 'd' };
  Kind kind = disk;
  std::optional<uint32_t> bootindex{};  // the least is tried first, before what has none
  std::string path{};                   // as the BIOS names it
};

uint32_t parse_bootindex(const std::string& text);  // throws ConfigError
// Of a virtio disk, and of a target of a SCSI adapter, whose transport's registers are at `address`
// (SeaBIOS, src/boot.c, bootprio_find_mmio_device() and bootprio_find_scsi_mmio_device()).
std::string disk_path(uint64_t address);
std::string scsi_path(uint64_t address, size_t target);
// The paths, in the order in which they are tried, a line each. `first`: since power-on.
std::string boot_order(const BootSpec& boot, std::vector<BootDevice> devices, bool first);

}  // namespace vireo::pc
