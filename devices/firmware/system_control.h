// The two ways besides the keyboard controller by which a PC's processors are reset:
//
//   0x92   system control port A (IBM PS/2 Hardware Interface Technical Reference): a write that
//          sets bit 0 resets; bit 1 opens the A20 gate, which is always open here
//   0xcf9  reset control (Intel 82371SB data sheet, 4.2.6): a write that sets bit 2 resets
//
// Both read back what was written. Thread: any vCPU.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "devices/legacy/byte_registers.h"
#include "vmm/device.h"

namespace vireo::dev {

struct SystemControlState {
  static constexpr StateTag kTag{"system-control", 1};
  uint8_t control_a = 2;
  uint8_t reset_control = 0;
  static void fields(auto& s, auto& archive) {
    archive("control_a", s.control_a)("reset_control", s.reset_control);
  }
  bool operator==(const SystemControlState&) const = default;
};

class SystemControl final : public Device {
 public:
  using State = SystemControlState;

  SystemControl(std::string name, DeviceEnv& env, const State& state = {});

  const std::string& name() const noexcept override { return name_; }
  void start() override {}
  Task<void> stop() override;
  void reset() override;
  void save(StateWriter& writer) const override;

 private:
  class Port final : public ByteRegisters {
   public:
    Port(MachineControl& control, uint8_t reset_bit, uint8_t value) noexcept
        : control_(control), reset_bit_(reset_bit), value_(value) {}
    uint8_t value() const noexcept { return value_; }
    void set(uint8_t value) noexcept { value_ = value; }

   private:
    uint8_t read_register(uint64_t) override { return value_; }
    void write_register(uint64_t, uint8_t value) override;

    MachineControl& control_;
    const uint8_t reset_bit_;
    std::atomic<uint8_t> value_;
  };

  const std::string name_;
  Port control_a_, reset_control_;
  Bus::Region control_a_port_, reset_control_port_;
};

}  // namespace vireo::dev
