// Record locks (POSIX, fcntl()) of the guest's processes on one file, and their shadow on the host.
//
// Among the guest's processes this table decides, for the host has no process for each of them. On
// the host all of them are one owner, an open file description of ours: it holds what any of them
// holds, so that programs of the host and of other guests see the locks and are seen.
// Thread: any, one at a time. Owns that description. Nothing here waits: who may not have a lock
// now is told so, and asks again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "devices/p9/result.h"
#include "vmm/base/fd.h"

namespace vireo::p9 {

struct LockOwner {
  uint32_t process = 0;
  std::string client{};
  bool operator==(const LockOwner&) const = default;
};

struct Lock {
  uint64_t first = 0, last = 0;  // bytes, both included
  bool exclusive = false;
  LockOwner owner{};
  uint64_t holder = 0;  // of the open file that it was asked through
};

class FileLocks {
 public:
  // `host` is open for reading and, where that is allowed, for writing.
  explicit FileLocks(UniqueFd host) noexcept : host_(std::move(host)) {}

  // Who keeps `wanted` from being had; on the host nobody can be named, so process 0 stands there.
  std::optional<Lock> conflict(const Lock& wanted) const;
  // EAGAIN: somebody has it; ENOLCK: too many. Replaces what the owner has in the range.
  Outcome acquire(const Lock& wanted, size_t most);
  void release(uint64_t first, uint64_t last, const LockOwner& owner);
  // All that was asked for through an open file.
  void release_all(uint64_t holder);

  bool empty() const noexcept { return locks_.empty(); }
  size_t size() const noexcept { return locks_.size(); }

 private:
  void cut(uint64_t first, uint64_t last, const LockOwner& owner);
  void release_on_host(uint64_t first, uint64_t last) const;
  Outcome acquire_on_host(const Lock& wanted) const;

  UniqueFd host_;
  std::vector<Lock> locks_;  // of one owner, none overlap
};

}  // namespace vireo::p9
