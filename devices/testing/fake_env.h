// A DeviceEnv without KVM: a loop stepped by hand, buses, countable interrupts, recorded requests.
// One thread.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vmm/base/error.h"
#include "vmm/device.h"
#include "vmm/memory/layout.h"
#include "vmm/testing/manual_loop.h"

namespace vireo::dev::testing {

// What devices asked of the machine, in order: "power-off", "reset", "debug-exit 3", "error: ...".
class FakeControl final : public MachineControl {
 public:
  std::vector<std::string> requests;

 private:
  void guest_power_off() override { requests.emplace_back("power-off"); }
  void guest_reset() override { requests.emplace_back("reset"); }
  void guest_debug_exit(uint32_t value) override {
    requests.push_back("debug-exit " + std::to_string(value));
  }
  void host_error(const std::string& what) override { requests.push_back("error: " + what); }
};

// Doorbells that the test rings.
class FakeDoorbells final : public Doorbells {
 public:
  Doorbell attach(DoorbellAddress address, int eventfd) override {
    const Key key{address.address, address.value};
    VMM_CHECK(table_.emplace(key, eventfd).second, "one doorbell per address and value");
    return Doorbell([this, key] { table_.erase(key); });
  }
  // As the kernel would on a matching write; false when nobody listens.
  bool ring(uint64_t address, uint32_t value) const {
    const auto found = table_.find({address, value});
    if (found == table_.end()) return false;
    signal_eventfd(found->second);
    return true;
  }
  size_t size() const noexcept { return table_.size(); }
  int eventfd_at(uint64_t address, uint32_t value) const { return table_.at({address, value}); }

 private:
  using Key = std::pair<uint64_t, std::optional<uint64_t>>;
  std::map<Key, int> table_;
};

// Slots whose pages the test declares written.
class FakeSlots final : public MemorySlots {
 public:
  struct Slot {
    uint64_t guest_address;
    std::span<std::byte> host;
    bool read_only = false;
    bool logging = false;
    bool refuses = false;  // to log
    size_t calls = 0;      // of either kind
    std::vector<uint64_t> written{};
    void write(size_t page) {
      if (logging) written.at(page / 64) |= uint64_t{1} << page % 64;
    }
  };
  std::map<uint64_t, std::shared_ptr<Slot>> table;  // by guest address

  std::unique_ptr<MemorySlot> attach(uint64_t guest_address, std::span<std::byte> host) override {
    const auto slot = std::make_shared<Slot>(Slot{guest_address, host});
    VMM_CHECK(table.emplace(guest_address, slot).second, "one slot per address");
    return std::make_unique<Attached>(*this, slot);
  }
  std::unique_ptr<MemorySlot> attach_read_only(uint64_t guest_address,
                                               std::span<std::byte> host) override {
    auto attached = attach(guest_address, host);
    table.at(guest_address)->read_only = true;
    return attached;
  }

 private:
  class Attached final : public MemorySlot {
   public:
    Attached(FakeSlots& slots, std::shared_ptr<Slot> slot)
        : slots_(slots), slot_(std::move(slot)) {}
    ~Attached() override { slots_.table.erase(slot_->guest_address); }
    bool log_writes(bool on) noexcept override {
      ++slot_->calls;
      slot_->logging = on && !slot_->refuses;
      slot_->written.assign((slot_->host.size() / kPageSize + 63) / 64, 0);
      return slot_->logging == on;
    }
    std::optional<std::vector<uint64_t>> take_written() override {
      ++slot_->calls;
      if (!slot_->logging) return std::nullopt;
      const std::vector<uint64_t> clean(slot_->written.size());
      return std::exchange(slot_->written, clean);
    }

   private:
    FakeSlots& slots_;
    std::shared_ptr<Slot> slot_;
  };
};

// Interrupt lines whose edges are counted. Any thread.
class FakeIrqs final : public IrqInputs {
 public:
  IrqLine connect(uint32_t gsi) { return {*this, gsi}; }
  // Edges since the last call.
  uint64_t take(uint32_t gsi) { return lines_.at(gsi).edges.exchange(0); }
  bool is_high(uint32_t gsi) const { return lines_.at(gsi).high; }

 private:
  struct Line {
    std::atomic<uint64_t> edges = 0;
    std::atomic<bool> high = false;
  };
  void raise(uint32_t input) noexcept override { ++lines_.at(input).edges; }
  void set(uint32_t input, bool high) noexcept override {
    if (!lines_.at(input).high.exchange(high) && high) raise(input);
  }

  std::array<Line, layout::kGsiCount> lines_;
};

struct FakeEnv {
  vireo::testing::ManualLoop turns{};
  GuestMemory memory{MemoryConfig{.size = 2 * MiB}};
  WorkerPool pool{1};
  FakeIrqs lines{};
  FakeDoorbells doorbells{};
  FakeSlots slots{};
  FakeControl control{};
  Platform platform{.memory = memory,
                    .pool = pool,
                    .doorbells = doorbells,
                    .slots = slots,
                    .control = control,
                    .irqs = IrqAllocator([this](uint32_t gsi) { return lines.connect(gsi); })};
  Bus& mmio = platform.mmio;
  Bus& pio = platform.pio;
  DeviceEnv env{platform, turns.loop()};

  uint8_t in(uint64_t port) {
    uint8_t value = 0;
    pio.read(port, writable_bytes_of(value));
    return value;
  }
  void out(uint64_t port, uint8_t value) { pio.write(port, bytes_of(value)); }
};

// The state that a device would save.
template <class D>
typename D::State state_of(const D& device) {
  StateWriter writer;
  device.save(writer);
  return StateReader(writer.take()).template take<typename D::State>(device.name());
}

}  // namespace vireo::dev::testing
