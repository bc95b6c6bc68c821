// Record locks (POSIX, fcntl()) of the guest's processes on one file, and their shadow on the host.
//
// Among the guest's processes this table decides, for the host has no process for each of them. On
// the host all of them are one owner, an open file description of ours: it holds what any of them
// holds, so that programs of the host and of other guests see the locks and are seen. Of a share
// that is read-only they are seen, but hold up nobody: there the table alone has the guest's locks.
//
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
  enum class Shadow : uint8_t { held, none };

  // `host` is open for reading and, where that is allowed, for writing.
  FileLocks(UniqueFd host, Shadow shadow) noexcept : host_(std::move(host)), shadow_(shadow) {}

  // Who keeps `wanted` from being had; on the host nobody can be named, so process 0 stands there.
  std::optional<Lock> conflict(const Lock& wanted) const;
  // EAGAIN: somebody has it; ENOLCK: there could be more than `most` then. Replaces what the owner
  // has in the range.
  Outcome acquire(const Lock& wanted, size_t most);
  // ENOLCK likewise: what is left on either side of a hole is two locks.
  Outcome release(uint64_t first, uint64_t last, const LockOwner& owner, size_t most);
  // All that was asked for through an open file.
  void release_all(uint64_t holder);

  bool empty() const noexcept { return locks_.empty(); }
  size_t size() const noexcept { return locks_.size(); }

 private:
  void cut(uint64_t first, uint64_t last, const LockOwner& owner);
  void release_on_host(uint64_t first, uint64_t last) const;
  Outcome acquire_on_host(const Lock& wanted) const;
  std::optional<Lock> conflict_here(const Lock& wanted) const;
  std::optional<Lock> conflict_on_host(const Lock& wanted) const;

  UniqueFd host_;
  Shadow shadow_;
  std::vector<Lock> locks_;  // of one owner, none overlap
};

}  // namespace vireo::p9
