// Address decoding for port and memory-mapped I/O.
//
// Thread: map() and Region on the control thread before the machine starts; read() and write() on
// any vCPU, concurrently, without a lock, from Machine::start on.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

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

struct Range {
  uint64_t start = 0;
  uint64_t length = 0;
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
  struct Entry {
    Range range;
    IoHandler* handler;
    std::string who;
  };
  const Entry* find(uint64_t address, uint64_t length) const noexcept;
  void unmap(uint64_t start) noexcept;

  std::string name_;
  std::vector<Entry> entries_;  // sorted by start
};

}  // namespace vireo
