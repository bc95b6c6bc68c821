// The CMOS real-time clock: the MC146818 (mc146818.h) at ports 0x70 and 0x71 and GSI 8.
//
// Threads: vCPUs touch the chip under one small mutex; the home loop keeps the timer for the next
// interrupt, which exists only while the guest has one enabled. The time is UTC.
// Interrupt: an edge whenever the chip's IRQ output rises, and at start() while it is high.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include "devices/legacy/byte_registers.h"
#include "devices/legacy/mc146818.h"
#include "vmm/device.h"

namespace vireo::dev {

class Rtc final : public Device, private ByteRegisters {
 public:
  using State = Mc146818::State;
  using Clock = std::function<Mc146818::Time()>;  // any thread; std::chrono::system_clock::now

  // Throws ConfigError when its ports or interrupt are taken, StateError on a bad state.
  Rtc(std::string name, DeviceEnv& env, Clock clock, const State& state = State())
      : Rtc(std::move(name), env, std::move(clock), State(), state) {}
  // `power_on`: with what a firmware finds in the chip's RAM.
  Rtc(std::string name, DeviceEnv& env, Clock clock, const State& power_on, const State& state);

  const std::string& name() const noexcept override { return name_; }
  void start() override;
  Task<void> stop() override;
  void reset() override;
  void save(StateWriter& writer) const override;

 private:
  // Any vCPU.
  uint8_t read_register(uint64_t offset) override;
  void write_register(uint64_t offset, uint8_t value) override;
  void settle();  // with mutex_ held

  // The loop.
  void arm();
  void expired();

  const std::string name_;
  EventLoop& loop_;
  const Clock clock_;
  const State power_on_;
  IrqLine irq_;

  mutable std::mutex mutex_;
  Mc146818 chip_;            // guarded by mutex_
  bool arm_posted_ = false;  // guarded by mutex_

  bool started_ = false;           // the loop's
  EventLoop::Registration timer_;  // the loop's

  Bus::Region ports_;
};

}  // namespace vireo::dev
