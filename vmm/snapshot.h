// A machine on disk: a directory with
//   manifest  text: format, architecture, memory size, vCPUs, and length and CRC of `state`
//   state     the sections of all components (vmm/base/state.h)
//   memory    guest RAM, sparse, each region at its offset
//
// The configuration is not in it: who restores builds the same machine again. A snapshot is
// complete when its manifest is there, which is written last. The CRC finds damage, not forgery:
// restore only what you trust. Thread: control. Errors: ConfigError and std::system_error naming
// the file.
#pragma once

#include <cstdint>
#include <string>

#include "vmm/base/state.h"
#include "vmm/memory/guest_memory.h"

namespace vireo {

struct SnapshotShape {
  uint64_t memory = 0;  // bytes
  uint32_t vcpus = 0;
  bool operator==(const SnapshotShape&) const = default;
};

class Snapshot {
 public:
  static Snapshot open(const std::string& directory);
  // Creates the directory, which must not exist.
  static void save(const std::string& directory, const SnapshotShape& shape,
                   const StateSections& sections, const GuestMemory& memory);

  const SnapshotShape& shape() const noexcept { return shape_; }
  StateSections take_sections() noexcept { return std::move(sections_); }
  void load_memory(const GuestMemory& memory) const;

 private:
  std::string directory_;
  SnapshotShape shape_;
  StateSections sections_;
};

}  // namespace vireo
