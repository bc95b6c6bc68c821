#include "devices/legacy/i8042.h"

#include <utility>

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

constexpr uint8_t kSelfTestPassed = 0x55;
constexpr uint8_t kTestPassed = 0x00;
constexpr uint8_t kClockStuckLow = 0x01;     // what the test of a port that is not there finds
constexpr uint8_t kNoResponse = 0xfe;        // with kTimeout in the status
constexpr uint8_t kKeyboardDisabled = 0x10;  // command byte
constexpr uint8_t kAuxDisabled = 0x20;       // command byte
constexpr uint8_t kResetLine = 0x01;         // output port, active low
constexpr uint8_t kOutputPort = 0x03;        // reset not asserted, A20 open
constexpr uint8_t kInputPort = 0x80;         // keyboard not locked

constexpr uint64_t kData = layout::kPortI8042Data - layout::kPortI8042Data;
constexpr uint64_t kCommand = layout::kPortI8042Command - layout::kPortI8042Data;
constexpr uint8_t kUnmapped = 0xff;

}  // namespace

I8042Chip::I8042Chip(const State& state) : state_(state) {
  if ((state.output_status & ~(kOutputFull | kAuxOutput | kTimeout)) != 0)
    throw StateError("the saved state of the keyboard controller is one that none can have");
}

void I8042Chip::answer(uint8_t value, uint8_t status) noexcept {
  state_.output = value;
  state_.output_status = kOutputFull | status;
}

uint8_t I8042Chip::read_data() {
  state_.output_status = 0;
  return state_.output;
}

uint8_t I8042Chip::read_status() const noexcept {
  return static_cast<uint8_t>(state_.output_status | kUnlocked |
                              (state_.self_tested ? kSystemFlag : 0) |
                              (state_.command_last ? kCommandLast : 0));
}

bool I8042Chip::write_data(uint8_t value) {
  state_.command_last = false;
  switch (std::exchange(state_.pending_command, uint8_t{0})) {
    case kWriteCommandByte:
      state_.command_byte = value;
      return false;
    case kWriteOutputPort:
      return (value & kResetLine) == 0;
    case kWriteKeyboardBuffer:
      answer(value);
      return false;
    case kWriteAux:
      answer(kNoResponse, kTimeout | kAuxOutput);
      return false;
    default:  // for the keyboard, or (kWriteAuxBuffer) by way of an aux port
      answer(kNoResponse, kTimeout);
      return false;
  }
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
      answer(kClockStuckLow);
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
  return false;
}

I8042::I8042(std::string name, DeviceEnv& env, const State& state)
    : name_(std::move(name)), control_(env.control), chip_(state) {
  // The ports between belong to others, who answer them before they come here (0x61: KVM's timer).
  ports_ = env.pio.map({layout::kPortI8042Data, kCommand + 1}, *this, name_);
}

Task<void> I8042::stop() {
  co_return;
}

void I8042::reset() {
  const std::lock_guard lock(mutex_);
  chip_ = I8042Chip();
}

void I8042::save(StateWriter& writer) const {
  const std::lock_guard lock(mutex_);
  writer.put(name_, chip_.state());
}

uint8_t I8042::read_register(uint64_t offset) {
  const std::lock_guard lock(mutex_);
  if (offset == kData) return chip_.read_data();
  if (offset == kCommand) return chip_.read_status();
  return kUnmapped;
}

void I8042::write_register(uint64_t offset, uint8_t value) {
  bool pulsed = false;
  {
    const std::lock_guard lock(mutex_);
    if (offset == kData) pulsed = chip_.write_data(value);
    if (offset == kCommand) pulsed = chip_.write_command(value);
  }
  if (pulsed) control_.guest_reset();
}

}  // namespace vireo::dev
