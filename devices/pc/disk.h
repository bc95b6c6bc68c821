// A disk, as `vireo run --disk` and descriptions in JSON tell it. Plain values; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "blockdev/open.h"
#include "devices/pc/keys.h"

namespace vireo::pc {

enum class DiskBus : uint8_t { virtio, scsi };

struct DiskSpec {
  std::string id{};      // names it; empty in a list: disk0, disk1, …
  std::string serial{};  // what the guest reads; at most 20 bytes
  blk::Spec image{.references = blk::References::any};
  DiskBus bus = DiskBus::virtio;
  uint16_t queues = 1;                  // 1..dev::Blk::kMaxQueues
  bool iothread = false;                // a loop of its own
  bool pauses_when_full = false;        // the machine, instead of an I/O error in the guest
  std::optional<uint32_t> bootindex{};  // BootDevice's
};

Keys keys_of(DiskSpec& disk);
// As --disk is written: "debian.qcow2", "path=data.raw,readonly=on". Throws ConfigError.
DiskSpec parse_disk(std::string_view text);
// What no key by itself can tell. Throws ConfigError that begins with `of`.
void check(std::string_view of, const DiskSpec& disk);

}  // namespace vireo::pc
