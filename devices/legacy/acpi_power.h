// Power management of a hardware-reduced ACPI platform, at layout::kPortAcpiPower and GSI
// layout::kGsiPower. The tables are written against this layout; every register is one byte:
//
//   +0  sleep control (FADT SLEEP_CONTROL_REG; ACPI 6.5, 4.8.3.7): bits 2-4 SLP_TYP, bit 5 SLP_EN.
//       A write with SLP_EN and SLP_TYP = kSleepTypeS5 switches the machine off; other sleep types
//       are not there. Reads give 0.
//   +1  sleep status (FADT SLEEP_STATUS_REG): reads give 0 (it never wakes), writes do nothing.
//   +2  reset (FADT RESET_REG): writing kResetValue resets the machine. Reads give 0.
//   +3  event: reading gives the events since the last read and clears them; bit 0 (kPowerButton):
//       the power button was pressed. Read by the Generic Event Device's _EVT method when the GSI
//       (edge-triggered, active high) has come. Writes do nothing.
//
// Threads: ports any vCPU, press_power_button() any thread; one small mutex.
#pragma once

#include <mutex>
#include <string>

#include "devices/legacy/byte_registers.h"
#include "vmm/device.h"

namespace vireo::dev {

struct AcpiPowerState {
  static constexpr StateTag kTag{"acpi-power", 1};
  uint8_t events = 0;
  static void fields(auto& s, auto& archive) { archive("events", s.events); }
  bool operator==(const AcpiPowerState&) const = default;
};

class AcpiPower final : public Device, private ByteRegisters {
 public:
  using State = AcpiPowerState;

  static constexpr uint64_t kSleepControl = 0;
  static constexpr uint64_t kSleepStatus = 1;
  static constexpr uint64_t kReset = 2;
  static constexpr uint64_t kEvent = 3;
  static constexpr uint64_t kRegisters = 4;

  static constexpr uint8_t kSleepTypeS5 = 5;  // the value in the _S5 package
  static constexpr uint8_t kSleepTypeShift = 2;
  static constexpr uint8_t kSleepEnable = 0x20;
  static constexpr uint8_t kResetValue = 1;
  static constexpr uint8_t kPowerButton = 0x01;

  AcpiPower(std::string name, DeviceEnv& env, State state = State());

  void press_power_button();

  const std::string& name() const noexcept override { return name_; }
  void start() override;
  Task<void> stop() override;
  void reset() override;
  void save(StateWriter& writer) const override;

 private:
  uint8_t read_register(uint64_t offset) override;
  void write_register(uint64_t offset, uint8_t value) override;
  void sleep(uint8_t control);
  static void describe(AcpiNamespace& acpi);

  const std::string name_;
  const Logger log_;
  MachineControl& control_;
  IrqLine irq_;
  mutable std::mutex mutex_;
  State state_;  // guarded by mutex_
  Bus::Region ports_;
};

}  // namespace vireo::dev
