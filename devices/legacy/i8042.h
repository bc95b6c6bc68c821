// The PC's keyboard controller: chip (a pure model; reference: IBM PC/AT Technical Reference,
// section 1, "Keyboard Controller", and IBM PS/2 Hardware Interface Technical Reference for its
// second port) and board. Either a PS/2 keyboard and a mouse are plugged in, or nothing is: then
// bytes sent to them are answered at once with what the controller says when a device does not
// respond, so that software that looks for a keyboard does not wait. The CPU's reset line is always
// there.
//
// Thread: the chip none of its own; the board's ports any vCPU, its keys and mouse any thread,
// under one small mutex.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "devices/keyboard.h"
#include "devices/legacy/byte_registers.h"
#include "devices/legacy/ps2_keyboard.h"
#include "devices/legacy/ps2_mouse.h"
#include "vmm/device.h"

namespace vireo::dev {

enum class Ps2Devices : uint8_t { none, keyboard_and_mouse };

struct I8042State {
  static constexpr StateTag kTag{"i8042", 2};
  // A byte for the host with the bits of the status that come with it; no status: no byte.
  struct Output {
    uint8_t value = 0;
    uint8_t status = 0;
    bool of_device = false;
    static void fields(auto& s, auto& archive) {
      archive("value", s.value)("status", s.status)("of_device", s.of_device);
    }
    bool operator==(const Output&) const = default;
  };

  uint8_t command_byte = 0x65;  // as firmware leaves it: keyboard on and translated, mouse off
  Output output{};
  Output waiting{};             // a device's byte that an answer of the controller went ahead of
  uint8_t pending_command = 0;  // the one whose parameter comes next; 0: none
  bool release_next = false;    // the last byte of the keyboard's said that a release follows
  bool self_tested = false;
  bool command_last = false;
  Ps2KeyboardState keyboard{};
  Ps2MouseState mouse{};
  static void fields(auto& s, auto& archive) {
    archive("command_byte", s.command_byte)("output", s.output)("waiting", s.waiting);
    archive("pending_command", s.pending_command)("release_next", s.release_next);
    archive("self_tested", s.self_tested)("command_last", s.command_last);
    archive("keyboard", s.keyboard)("mouse", s.mouse);
  }
  bool operator==(const I8042State&) const = default;
};

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

  using State = I8042State;

  explicit I8042Chip(Ps2Devices devices = Ps2Devices::none) : devices_(devices) {}
  I8042Chip(Ps2Devices devices, State state);  // throws StateError on what no chip can hold
  State state() const;

  uint8_t read_data();
  uint8_t read_status() const noexcept;
  // Both give whether the CPU reset line was pulsed.
  [[nodiscard]] bool write_data(uint8_t value);
  [[nodiscard]] bool write_command(uint8_t command);

  bool key(uint16_t key, bool pressed);
  void release_all_but(const std::set<uint16_t>& held);
  void move(const Ps2Motion& motion, uint8_t buttons);

  // The interrupt lines: high while a byte lies there that the host wants to be interrupted for.
  struct Lines {
    bool keyboard = false, mouse = false;
  };
  Lines lines() const noexcept;
  // Those that rose since the last call, or are high for another byte now.
  Lines take_edges() noexcept;

 private:
  bool plugged() const noexcept { return devices_ != Ps2Devices::none; }
  void answer(uint8_t value, uint8_t status = 0) noexcept;
  void fill_output();
  std::optional<I8042State::Output> next_of_devices();
  std::optional<uint8_t> next_of_keyboard();
  bool parameter(uint8_t command, uint8_t value);
  void to_keyboard(uint8_t value);
  void to_mouse(uint8_t value);

  Ps2Devices devices_;
  State state_{};  // but for the devices, which hold their own:
  Ps2Keyboard keyboard_;
  Ps2Mouse mouse_;
  Lines seen_{};              // as of the last take_edges()
  bool has_another_ = false;  // byte than then
};

// At ports 0x60 and 0x64, with interrupts 1 and 12 when devices are plugged in.
class I8042 final : public Device, public Keyboard {
 public:
  using State = I8042State;

  I8042(std::string name, DeviceEnv& env, const State& state = State())
      : I8042(std::move(name), env, Ps2Devices::none, state) {}
  I8042(std::string name, DeviceEnv& env, Ps2Devices devices, const State& state = State());

  // Any thread.
  bool listens() const override;
  bool key(uint16_t key, bool pressed) override;
  void release_all_but(const std::set<uint16_t>& held) override;
  void move(const Ps2Motion& motion, uint8_t buttons);  // of Ps2Mouse::Button

  const std::string& name() const noexcept override { return name_; }
  void start() override;
  Task<void> stop() override;
  void reset() override;
  void save(StateWriter& writer) const override;

 private:
  enum class Register : uint8_t { data, command };
  // The ports between the two belong to others.
  class Port final : public ByteRegisters {
   public:
    Port(I8042& board, Register which) noexcept : board_(board), which_(which) {}

   private:
    uint8_t read_register(uint64_t) override { return board_.read(which_); }
    void write_register(uint64_t, uint8_t value) override { board_.write(which_, value); }
    I8042& board_;
    const Register which_;
  };

  static void describe(AcpiNamespace& acpi);
  uint8_t read(Register which);
  void write(Register which, uint8_t value);
  void raise(I8042Chip::Lines lines) const;
  template <class Use>
  void use_devices(Use use);

  const std::string name_;
  MachineControl& control_;
  const Ps2Devices devices_;
  IrqLine keyboard_line_;
  IrqLine mouse_line_;
  mutable std::mutex mutex_;
  I8042Chip chip_;        // guarded by mutex_
  bool running_ = false;  // guarded by mutex_
  Port data_port_{*this, Register::data};
  Port command_port_{*this, Register::command};
  Bus::Region data_, command_;
};

}  // namespace vireo::dev
