// The record locks of a session, by file.
//
// Thread: whoever has turn(): what is called here asks the host and may wait for it. Owns a
// descriptor for each file that has locks. Bounded: 4096 locks in all, and as many files as the
// constructor is told.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "devices/p9/host.h"
#include "devices/p9/locks.h"
#include "vmm/base/async_sync.h"

namespace vireo::p9 {

class LocalFs;

class LockTable {
 public:
  // `fs` outlives the table.
  LockTable(const LocalFs& fs, size_t files) noexcept : fs_(fs), max_files_(files) {}
  LockTable(const LockTable&) = delete;
  LockTable& operator=(const LockTable&) = delete;

  // Whoever calls any of the others has it meanwhile: guard = co_await locks.turn(). On the loop.
  auto turn() noexcept { return turn_.lock(); }

  // EAGAIN: somebody has it; ENOLCK: too many.
  Outcome acquire(const Item& item, const Lock& wanted);
  Outcome release(const Item& item, const Lock& wanted);
  // Who keeps `wanted` from being had.
  Result<std::optional<Lock>> conflict(const Item& item, const Lock& wanted);
  // All that was asked for through an open file.
  void release_all(uint64_t holder);

 private:
  using Key = std::pair<uint64_t, uint64_t>;  // device and inode

  static Result<Key> key_of(const Item& item);
  FileLocks* find(const Key& key);  // nullptr: it has none
  Result<FileLocks*> locks_of(const Item& item);
  Result<FileLocks> open_to_lock(const Item& item) const;
  size_t room_for(const FileLocks& file) const noexcept;
  void forget_unlocked();

  const LocalFs& fs_;
  const size_t max_files_;
  AsyncMutex turn_;
  std::map<Key, FileLocks> files_;
};

}  // namespace vireo::p9
