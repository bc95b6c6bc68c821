// The PC's keyboard controller: chip (a pure model; reference: IBM PC/AT Technical Reference,
// section 1, "Keyboard Controller") and board. Nothing is plugged into its two ports: bytes sent to
// them are answered at once with what the controller says when a device does not respond, so that
// software that looks for a keyboard does not wait. What it is for: the CPU reset line.
//
// Thread: the chip none of its own; the board's ports any vCPU, under one small mutex.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "devices/legacy/byte_registers.h"
#include "vmm/device.h"

namespace vireo::dev {

class I8042Chip {
 public:
  enum Status : uint8_t {
    kOutputFull = 0x01,
    kSystemFlag = 0x04,
    kCommandLast = 0x08,
    kUnlocked = 0x10,
    kAuxOutput = 0x20,
    kTimeout = 0x40
  };

  struct State {
    static constexpr StateTag kTag{"i8042", 1};
    uint8_t command_byte = 0;
    uint8_t output = 0;
    uint8_t output_status = 0;    // kOutputFull, and what came with the byte
    uint8_t pending_command = 0;  // the one whose parameter comes next; 0: none
    bool self_tested = false;
    bool command_last = false;
    static void fields(auto& s, auto& archive) {
      archive("command_byte", s.command_byte)("output", s.output);
      archive("output_status", s.output_status)("pending_command", s.pending_command);
      archive("self_tested", s.self_tested)("command_last", s.command_last);
    }
    bool operator==(const State&) const = default;
  };

  I8042Chip() = default;
  explicit I8042Chip(const State& state);  // throws StateError on what no chip can hold
  const State& state() const noexcept { return state_; }

  uint8_t read_data();
  uint8_t read_status() const noexcept;
  // Both give whether the CPU reset line was pulsed.
  [[nodiscard]] bool write_data(uint8_t value);
  [[nodiscard]] bool write_command(uint8_t command);

 private:
  void answer(uint8_t value, uint8_t status = 0) noexcept;

  State state_;
};

// At ports 0x60 and 0x64. Interrupts would only announce devices: there are none.
class I8042 final : public Device, private ByteRegisters {
 public:
  using State = I8042Chip::State;

  I8042(std::string name, DeviceEnv& env, const State& state = State());

  const std::string& name() const noexcept override { return name_; }
  void start() override {}
  Task<void> stop() override;
  void reset() override;
  void save(StateWriter& writer) const override;

 private:
  uint8_t read_register(uint64_t offset) override;
  void write_register(uint64_t offset, uint8_t value) override;

  const std::string name_;
  MachineControl& control_;
  mutable std::mutex mutex_;
  I8042Chip chip_;  // guarded by mutex_
  Bus::Region ports_;
};

}  // namespace vireo::dev
