// Address decoding for port and memory-mapped I/O.
//
// Thread: read() and write() on any vCPU, concurrently, without a lock; map() and the end of a
// Region anywhere, also while vCPUs run, and on one of them inside its access. An access that is
// under way when its range goes may still reach the handler, so that a handler is destroyed only
// while no vCPU runs.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "vmm/range_table.h"

namespace vireo {

// What answers at a range. Thread: any vCPU, concurrently: implementations synchronise themselves,
// and do no I/O.
class IoHandler {
 public:
  virtual ~IoHandler() = default;
  // `offset` is from the start of the mapped range; [offset, offset + size) lies inside it.
  // The span has 1 to 8 bytes (3, too: KVM splits what crosses a page) and comes filled with ones.
  virtual void io_read(uint64_t offset, std::span<std::byte> out) = 0;
  virtual void io_write(uint64_t offset, std::span<const std::byte> in) = 0;
};

class Bus {
 public:
  explicit Bus(std::string name) : name_(std::move(name)) {}  // "mmio" or "pio", for messages
  Bus(const Bus&) = delete;
  Bus& operator=(const Bus&) = delete;

  class [[nodiscard]] Region {  // unmaps when it goes; the bus must be alive
   public:
    Region() = default;
    Region(Bus& bus, uint64_t start) noexcept : bus_(&bus), start_(start) {}
    Region(Region&& other) noexcept
        : bus_(std::exchange(other.bus_, nullptr)), start_(other.start_) {}
    Region& operator=(Region&& other) noexcept {
      std::swap(bus_, other.bus_);
      std::swap(start_, other.start_);
      return *this;
    }
    ~Region() {
      if (bus_ != nullptr) bus_->unmap(start_);
    }

   private:
    Bus* bus_ = nullptr;
    uint64_t start_ = 0;
  };

  // Throws ConfigError when the range is empty, wraps, or overlaps another; names both.
  Region map(Range range, IoHandler& handler, const std::string& who);

  // Unmapped reads give all ones, unmapped writes vanish. An access that straddles the end of a
  // range counts as unmapped.
  void read(uint64_t address, std::span<std::byte> out) const;
  void write(uint64_t address, std::span<const std::byte> in) const;

 private:
  using Entry = RangeTable::Entry;

  void check_free(Range range, const std::string& who) const;
  void unmap(uint64_t start) noexcept;

  const std::string name_;
  std::mutex mutex_;
  std::vector<Entry> entries_;                 // sorted by start; guarded by mutex_, as the next
  std::map<uint64_t, std::string> occupants_;  // by start, for messages
  RangeTable table_;                           // the entries, for look-ups
};

}  // namespace vireo
