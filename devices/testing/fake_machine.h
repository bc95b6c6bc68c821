// A machine for virtio devices under test: guest memory, buses, a loop that the test steps by hand
// on a real clock, and one other thread that stands for all vCPUs. No KVM.
//
// Thread: the test's.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "devices/testing/fake_env.h"
#include "devices/virtio/device.h"
#include "vmm/base/state.h"
#include "vmm/device.h"
#include "vmm/memory/layout.h"

namespace vireo::dev {

class FakeMachine {
 public:
  static constexpr uint64_t kMemory = 4 * MiB;

  GuestMemory memory{MemoryConfig{.size = kMemory}};
  std::optional<EventLoop::Clock::time_point> stopped_clock;  // the loop's, when the test sets it
  EventLoop loop{[this] { return stopped_clock.value_or(EventLoop::Clock::now()); }};
  WorkerPool pool{1};
  testing::FakeIrqs irq_lines;
  testing::FakeDoorbells doorbells;
  testing::FakeSlots slots;
  testing::FakeControl control;
  std::vector<std::string> log;
  Platform platform{
      .memory = memory,
      .pool = pool,
      .doorbells = doorbells,
      .slots = slots,
      .control = control,
      .irqs = IrqAllocator([this](uint32_t gsi) { return irq_lines.connect(gsi); }),
      .log = Logger(LogLevel::warn, [this](LogLevel, std::string_view, std::string_view text) {
        log.emplace_back(text);
      })};
  Bus& mmio = platform.mmio;
  Bus& pio = platform.pio;
  DeviceEnv env{platform, loop};

  VirtioEnv virtio_env() { return {loop, pool, platform.log}; }

  // Steps the loop until nothing is due.
  void settle() {
    while (loop.step()) {
    }
  }
  // With a stopped clock: so much later.
  void advance(std::chrono::nanoseconds by) {
    *stopped_clock += by;
    settle();
  }
  // Ends a device as a machine does that is saved: what it has saved, for one in its place. The bus
  // hands out its interrupts once: as often as it has some.
  template <class Transport>
  StateSections take_out(std::unique_ptr<Transport>& transport) {
    block_on(loop, transport->stop());
    StateWriter writer;
    transport->save(writer);
    block_on(loop, transport->close());
    transport.reset();
    platform.register_pages = RegisterPages();
    platform.acpi = AcpiNamespace();
    return writer.take();
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
