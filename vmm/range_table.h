// Where vCPUs look addresses up while the table changes: ranges with their handlers, sorted.
//
// The table is there twice. A look-up searches the one of the version that it has read, and does so
// again when that is not the latest any more. A change fills the other one and makes it the latest.
// So nobody waits for anybody, and nothing is kept for those who may still read: a guest that moves
// a range a million times fills no memory.
//
// Thread: find() any, without a lock; publish() one at a time.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace vireo {

class IoHandler;

struct Range {
  uint64_t start = 0;
  uint64_t length = 0;
};

class RangeTable {
 public:
  struct Entry {
    Range range{};
    IoHandler* handler = nullptr;  // none: no range was found
  };

  // That of the range which has all of [address, address + length).
  Entry find(uint64_t address, uint64_t length) const noexcept;
  // Entries sorted by start, without overlaps; one more than before, or one less, which never
  // throws. Throws std::bad_alloc.
  void publish(std::span<const Entry> entries);

 private:
  // All loads acquire and all stores release: whoever has seen anything of a change sees, too, that
  // its version is not the latest.
  struct Slot {
    std::atomic<uint64_t> start = 0;
    std::atomic<uint64_t> length = 0;
    std::atomic<IoHandler*> handler = nullptr;
  };
  struct Table {
    std::atomic<const Slot*> slots = nullptr;
    std::atomic<size_t> count = 0;
    std::span<Slot> room{};  // the same slots; publish()'s

    Entry last_until(uint64_t address) const noexcept;
  };
  void make_room(Table& table, size_t count);

  std::atomic<uint64_t> version_ = 0;
  std::array<Table, 2> tables_{};
  // All that there have been, since somebody may still look at one; each is twice as large as its
  // predecessor.
  std::vector<std::unique_ptr<Slot[]>> storage_;
};

}  // namespace vireo
