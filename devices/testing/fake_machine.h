// What devices get of a machine, for unit tests: guest memory, a loop stepped by hand, buses, and
// interrupts and doorbells that only count. No KVM, no threads of its own.
//
// Thread: the test's.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "devices/virtio/device.h"
#include "vmm/base/error.h"
#include "vmm/device.h"
#include "vmm/memory/layout.h"

namespace vireo::dev {

class FakeDoorbells : public Doorbells {
 public:
  Doorbell attach(DoorbellAddress address, int eventfd) override {
    const auto key = std::pair(address.address, address.value);
    VMM_CHECK(table_.emplace(key, eventfd).second, "one doorbell per address and value");
    return Doorbell([this, key] { table_.erase(key); });
  }
  // As the kernel would on a matching write; false when nobody listens.
  bool ring(uint64_t address, uint32_t value) {
    const auto found = table_.find({address, value});
    if (found == table_.end()) return false;
    signal_eventfd(found->second);
    return true;
  }
  size_t size() const noexcept { return table_.size(); }

 private:
  std::map<std::pair<uint64_t, uint32_t>, int> table_;
};

// Interrupt lines whose raises are counted.
class FakeIrqs {
 public:
  IrqLine connect(uint32_t gsi) {
    UniqueFd event = make_eventfd();
    counters_[gsi] = UniqueFd(::dup(event.get()));
    return IrqLine(std::move(event));
  }
  // Raises since the last look.
  uint64_t take(uint32_t gsi) {
    uint64_t count = 0;
    const auto n = ::read(counters_.at(gsi).get(), &count, sizeof(count));
    return n == sizeof(count) ? count : 0;
  }

 private:
  std::map<uint32_t, UniqueFd> counters_;
};

class FakeControl : public MachineControl {
 public:
  void guest_power_off() override { events.emplace_back("power off"); }
  void guest_reset() override { events.emplace_back("reset"); }
  void guest_debug_exit(uint32_t value) override {
    events.push_back("debug exit " + std::to_string(value));
  }
  void host_error(const std::string& what) override { events.push_back("host error: " + what); }
  std::vector<std::string> events;
};

class FakeMachine {
 public:
  static constexpr uint64_t kMemory = 4 * MiB;

  GuestMemory memory{MemoryConfig{.size = kMemory}};
  EventLoop loop;
  WorkerPool pool{1};
  Bus mmio{"mmio"};
  Bus pio{"port"};
  FakeIrqs irq_lines;
  IrqAllocator irqs{[this](uint32_t gsi) { return irq_lines.connect(gsi); }};
  FakeDoorbells doorbells;
  FakeControl control;
  std::vector<AcpiDevice> acpi;
  AddressAllocator mmio_window{{layout::kVirtioMmio, 64 * layout::kVirtioMmioStride}};
  std::vector<std::string> log;
  DeviceEnv env{memory,
                loop,
                pool,
                mmio,
                pio,
                irqs,
                doorbells,
                control,
                acpi,
                mmio_window,
                Logger(LogLevel::warn, [this](LogLevel, std::string_view, std::string_view text) {
                  log.emplace_back(text);
                })};

  VirtioEnv virtio_env() { return {loop, pool, env.log}; }

  // Steps the loop until nothing is due.
  void settle() {
    while (loop.step()) {
    }
  }
  // Runs a guest's access on another thread, as a vCPU would, while this one plays the loop.
  void on_vcpu(const std::function<void()>& access) {
    if (!vcpu_) vcpu_.emplace("vcpu");
    bool finished = false;
    vcpu_->loop().post([&] {
      access();
      loop.post([&] { finished = true; });
    });
    while (!finished) loop.step(std::chrono::seconds(1));
  }

 private:
  std::optional<LoopThread> vcpu_;
};

}  // namespace vireo::dev
