#include "devices/legacy/i8042.h"

#include <utility>

#include "devices/legacy/key_to_scancodes.h"
#include "vmm/memory/layout.h"

namespace vireo::dev {

namespace {

enum Command : uint8_t {
  kReadCommandByte = 0x20,
  kWriteCommandByte = 0x60,
  kDisableAux = 0xa7,
  kEnableAux = 0xa8,
  kTestAux = 0xa9,
  kSelfTest = 0xaa,
  kTestKeyboard = 0xab,
  kDisableKeyboard = 0xad,
  kEnableKeyboard = 0xae,
  kReadInputPort = 0xc0,
  kReadOutputPort = 0xd0,
  kWriteOutputPort = 0xd1,
  kWriteKeyboardBuffer = 0xd2,
  kWriteAuxBuffer = 0xd3,
  kWriteAux = 0xd4,
  kPulse = 0xf0,  // to 0xff: a pulse on each output line whose bit is 0
};

enum CommandByte : uint8_t {
  kKeyboardInterrupt = 0x01,
  kAuxInterrupt = 0x02,
  kKeyboardDisabled = 0x10,
  kAuxDisabled = 0x20,
  kTranslate = 0x40,
};

constexpr uint8_t kSelfTestPassed = 0x55;
constexpr uint8_t kTestPassed = 0x00;
constexpr uint8_t kClockStuckLow = 0x01;  // what the test of a port that is not there finds
constexpr uint8_t kNoResponse = 0xfe;     // with kTimeout in the status
constexpr uint8_t kResetLine = 0x01;      // output port, active low
constexpr uint8_t kOutputPort = 0x03;     // reset not asserted, A20 open
constexpr uint8_t kInputPort = 0x80;      // keyboard not locked
constexpr uint8_t kReleaseNext = 0xf0;    // of scan code set 2
constexpr uint8_t kReleased = 0x80;       // of set 1

bool can_be(const I8042State::Output& output) {
  using Chip = I8042Chip;
  const bool none = output.status == 0;
  return none || (output.status & ~(Chip::kAuxOutput | Chip::kTimeout)) == Chip::kOutputFull;
}

}  // namespace

// --- chip ---

I8042Chip::I8042Chip(Ps2Devices devices, State state)
    : devices_(devices),
      state_(std::move(state)),
      keyboard_(std::exchange(state_.keyboard, {})),
      mouse_(std::exchange(state_.mouse, {})) {
  const bool waits = state_.waiting.status != 0;
  const bool has_gap = waits && (state_.output.status == 0 || !state_.waiting.of_device);
  if (!can_be(state_.output) || !can_be(state_.waiting) || has_gap)
    throw StateError("the saved state of the keyboard controller is one that none can have");
}

I8042State I8042Chip::state() const {
  State state = state_;
  state.keyboard = keyboard_.state();
  state.mouse = mouse_.state();
  return state;
}

// A byte of a device's that lies there comes again afterwards: who asks the controller something
// takes the next byte for its answer.
void I8042Chip::answer(uint8_t value, uint8_t status) noexcept {
  if (state_.output.status != 0 && state_.output.of_device) state_.waiting = state_.output;
  state_.output = {.value = value, .status = static_cast<uint8_t>(kOutputFull | status)};
  has_another_ = true;
}

uint8_t I8042Chip::read_data() {
  const uint8_t value = state_.output.value;
  state_.output.status = 0;
  if (state_.waiting.status != 0) {
    state_.output = std::exchange(state_.waiting, {});
    has_another_ = true;
  }
  fill_output();
  return value;
}

void I8042Chip::fill_output() {
  if (!plugged() || state_.output.status != 0) return;
  if (const auto next = next_of_devices()) {
    state_.output = *next;
    has_another_ = true;
  }
}

std::optional<I8042State::Output> I8042Chip::next_of_devices() {
  if ((state_.command_byte & kKeyboardDisabled) == 0)
    if (const auto byte = next_of_keyboard()) return State::Output{*byte, kOutputFull, true};
  if ((state_.command_byte & kAuxDisabled) == 0)
    if (const auto byte = mouse_.send())
      return State::Output{*byte, kOutputFull | kAuxOutput, true};
  return std::nullopt;
}

std::optional<uint8_t> I8042Chip::next_of_keyboard() {
  const bool translates = (state_.command_byte & kTranslate) != 0;
  auto byte = keyboard_.send();
  if (!translates || !byte) return byte;
  if (*byte == kReleaseNext) {
    state_.release_next = true;
    byte = keyboard_.send();
  }
  if (!byte) return byte;
  const uint8_t mark = std::exchange(state_.release_next, false) ? kReleased : 0;
  return static_cast<uint8_t>(translated_scancode(*byte) | mark);
}

uint8_t I8042Chip::read_status() const noexcept {
  return static_cast<uint8_t>(state_.output.status | kUnlocked |
                              (state_.self_tested ? kSystemFlag : 0) |
                              (state_.command_last ? kCommandLast : 0));
}

bool I8042Chip::write_data(uint8_t value) {
  state_.command_last = false;
  const bool reset = parameter(std::exchange(state_.pending_command, uint8_t{0}), value);
  fill_output();
  return reset;
}

// Of a command, or, without one, a byte for the keyboard.
bool I8042Chip::parameter(uint8_t command, uint8_t value) {
  switch (command) {
    case kWriteCommandByte:
      state_.command_byte = value;
      return false;
    case kWriteOutputPort:
      return (value & kResetLine) == 0;
    case kWriteKeyboardBuffer:
      answer(value);
      return false;
    case kWriteAuxBuffer:
      plugged() ? answer(value, kAuxOutput) : answer(kNoResponse, kTimeout);
      return false;
    case kWriteAux:
      to_mouse(value);
      return false;
    default:
      to_keyboard(value);
      return false;
  }
}

// A port is switched on by sending to its device.
void I8042Chip::to_keyboard(uint8_t value) {
  if (!plugged()) return answer(kNoResponse, kTimeout);
  state_.command_byte &= ~kKeyboardDisabled & 0xff;
  keyboard_.receive(value);
}

void I8042Chip::to_mouse(uint8_t value) {
  if (!plugged()) return answer(kNoResponse, kTimeout | kAuxOutput);
  state_.command_byte &= ~kAuxDisabled & 0xff;
  mouse_.receive(value);
}

bool I8042Chip::write_command(uint8_t command) {
  state_.command_last = true;
  state_.pending_command = 0;
  switch (command) {
    case kReadCommandByte:
      answer(state_.command_byte);
      break;
    case kDisableAux:
      state_.command_byte |= kAuxDisabled;
      break;
    case kEnableAux:
      state_.command_byte &= ~kAuxDisabled & 0xff;
      break;
    case kTestAux:
      answer(plugged() ? kTestPassed : kClockStuckLow);
      break;
    case kSelfTest:
      state_.self_tested = true;
      answer(kSelfTestPassed);
      break;
    case kTestKeyboard:
      answer(kTestPassed);
      break;
    case kDisableKeyboard:
      state_.command_byte |= kKeyboardDisabled;
      break;
    case kEnableKeyboard:
      state_.command_byte &= ~kKeyboardDisabled & 0xff;
      break;
    case kReadInputPort:
      answer(kInputPort);
      break;
    case kReadOutputPort:
      answer(kOutputPort);
      break;
    case kWriteCommandByte:
    case kWriteOutputPort:
    case kWriteKeyboardBuffer:
    case kWriteAuxBuffer:
    case kWriteAux:
      state_.pending_command = command;
      break;
    default:
      return command >= kPulse && (command & kResetLine) == 0;
  }
  fill_output();
  return false;
}

bool I8042Chip::key(uint16_t key, bool pressed) {
  const bool taken = keyboard_.key(key, pressed);
  fill_output();
  return taken;
}

void I8042Chip::release_all_but(const std::set<uint16_t>& held) {
  keyboard_.release_all_but(held);
  fill_output();
}

void I8042Chip::move(const Ps2Motion& motion, uint8_t buttons) {
  mouse_.move(motion, buttons);
  fill_output();
}

I8042Chip::Lines I8042Chip::lines() const noexcept {
  const bool full = state_.output.status != 0;
  const bool of_mouse = (state_.output.status & kAuxOutput) != 0;
  return {.keyboard = full && !of_mouse && (state_.command_byte & kKeyboardInterrupt) != 0,
          .mouse = full && of_mouse && (state_.command_byte & kAuxInterrupt) != 0};
}

I8042Chip::Lines I8042Chip::take_edges() noexcept {
  const Lines now = lines();
  const Lines before = std::exchange(seen_, now);
  const bool another = std::exchange(has_another_, false);
  return {.keyboard = now.keyboard && (another || !before.keyboard),
          .mouse = now.mouse && (another || !before.mouse)};
}

// --- board ---

I8042::I8042(std::string name, DeviceEnv& env, Ps2Devices devices, const State& state)
    : name_(std::move(name)),
      control_(env.platform.control),
      devices_(devices),
      chip_(devices, state) {
  if (devices == Ps2Devices::keyboard_and_mouse) {
    keyboard_line_ = env.platform.irqs.claim(layout::kGsiKeyboard, name_ + "'s keyboard").line;
    mouse_line_ = env.platform.irqs.claim(layout::kGsiMouse, name_ + "'s mouse").line;
    describe(env.platform.acpi);
  }
  data_ = env.platform.pio.map({layout::kPortI8042Data, 1}, data_port_, name_);
  command_ = env.platform.pio.map({layout::kPortI8042Command, 1}, command_port_, name_);
}

// The mouse shares the keyboard's ports.
void I8042::describe(AcpiNamespace& acpi) {
  acpi.set_boot_flags(kAcpiHas8042);
  acpi.add({.name = "KBD",
            .hid = "PNP0303",
            .address = layout::kPortI8042Data,
            .length = 1,
            .gsi = layout::kGsiKeyboard,
            .resources = {aml::io_ports(layout::kPortI8042Data, 1),
                          aml::io_ports(layout::kPortI8042Command, 1),
                          aml::isa_irq(layout::kGsiKeyboard)}});
  acpi.add({.name = "MOU",
            .hid = "PNP0F13",
            .address = layout::kPortI8042Data,
            .length = 1,
            .gsi = layout::kGsiMouse,
            .resources = {aml::isa_irq(layout::kGsiMouse)}});
}

void I8042::raise(I8042Chip::Lines lines) const {
  if (lines.keyboard) keyboard_line_.raise();
  if (lines.mouse) mouse_line_.raise();
}

// Once more what is pending: an edge too many does no harm, one that got lost would.
void I8042::start() {
  const std::lock_guard lock(mutex_);
  running_ = true;
  raise(chip_.lines());
}

Task<void> I8042::stop() {
  {
    const std::lock_guard lock(mutex_);
    running_ = false;
  }
  co_return;
}

void I8042::reset() {
  const std::lock_guard lock(mutex_);
  chip_ = I8042Chip(devices_);
}

void I8042::save(StateWriter& writer) const {
  const std::lock_guard lock(mutex_);
  writer.put(name_, chip_.state());
}

bool I8042::listens() const {
  const std::lock_guard lock(mutex_);
  return running_ && devices_ != Ps2Devices::none;
}

template <class Use>
void I8042::use_devices(Use use) {
  const std::lock_guard lock(mutex_);
  if (!running_ || devices_ == Ps2Devices::none) return;
  use(chip_);
  raise(chip_.take_edges());
}

bool I8042::key(uint16_t key, bool pressed) {
  bool taken = true;
  use_devices([&](I8042Chip& chip) { taken = chip.key(key, pressed); });
  return taken;
}

void I8042::release_all_but(const std::set<uint16_t>& held) {
  use_devices([&](I8042Chip& chip) { chip.release_all_but(held); });
}

void I8042::move(const Ps2Motion& motion, uint8_t buttons) {
  use_devices([&](I8042Chip& chip) { chip.move(motion, buttons); });
}

uint8_t I8042::read(Register which) {
  const std::lock_guard lock(mutex_);
  if (which == Register::command) return chip_.read_status();
  const uint8_t value = chip_.read_data();
  raise(chip_.take_edges());
  return value;
}

void I8042::write(Register which, uint8_t value) {
  bool pulsed = false;
  {
    const std::lock_guard lock(mutex_);
    pulsed = which == Register::data ? chip_.write_data(value) : chip_.write_command(value);
    raise(chip_.take_edges());
  }
  if (pulsed) control_.guest_reset();
}

}  // namespace vireo::dev
