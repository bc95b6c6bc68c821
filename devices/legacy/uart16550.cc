#include "devices/legacy/uart16550.h"

#include <algorithm>
#include <array>
#include <utility>

namespace vireo::dev {

namespace {

// Identification codes, highest priority first (data sheet, table V).
constexpr std::array<uint8_t, 5> kPriority{Uart16550::kIirLine, Uart16550::kIirReceive,
                                           Uart16550::kIirTimeout, Uart16550::kIirTransmit,
                                           Uart16550::kIirModem};
constexpr std::array<uint8_t, 4> kTriggerLevels{1, 4, 8, 14};
constexpr uint8_t kErrorShift = 8;
constexpr uint16_t kBreakEntry = uint16_t{Uart16550::kLsrBreak} << kErrorShift;

constexpr uint32_t source(uint8_t identification) noexcept {
  return 1u << identification;
}

}  // namespace

Uart16550::Uart16550(State state) : state_(std::move(state)) {
  const bool known_trigger = std::find(kTriggerLevels.begin(), kTriggerLevels.end(),
                                       state_.receive_trigger) != kTriggerLevels.end();
  const bool good_entries = std::all_of(state_.receive.begin(), state_.receive.end(),
                                        [](auto e) { return (e & ~(kBreakEntry | 0xff)) == 0; });
  if (state_.receive.size() > depth() || state_.transmit.size() > depth() || !known_trigger ||
      !good_entries || (state_.ier & 0xf0) != 0 || (state_.mcr & 0xe0) != 0 ||
      (state_.modem_deltas & 0xf0) != 0)
    throw StateError("the saved state of a serial port is one that no 16550A can have");
}

uint8_t Uart16550::read(uint8_t reg) {
  switch (reg) {
    case 0:
      return divisor_access() ? static_cast<uint8_t>(state_.divisor) : read_receiver();
    case 1:
      return divisor_access() ? static_cast<uint8_t>(state_.divisor >> 8) : state_.ier;
    case 2:
      return read_interrupt_id();
    case 3:
      return state_.lcr;
    case 4:
      return state_.mcr;
    case 5:
      return read_line_status();
    case 6:
      return read_modem_status();
    default:
      return state_.scratch;
  }
}

void Uart16550::write(uint8_t reg, uint8_t value) {
  switch (reg) {
    case 0:
      if (divisor_access())
        state_.divisor = static_cast<uint16_t>((state_.divisor & 0xff00) | value);
      else
        write_transmitter(value);
      break;
    case 1:
      if (divisor_access())
        state_.divisor = static_cast<uint16_t>((state_.divisor & 0x00ff) | value << 8);
      else
        write_interrupt_enable(value);
      break;
    case 2:
      write_fifo_control(value);
      break;
    case 3:
      write_line_control(value);
      break;
    case 4:
      write_modem_control(value);
      break;
    case 7:
      state_.scratch = value;
      break;
    default:  // LSR and MSR: writes are for factory tests only
      break;
  }
}

Uart16550::Sources Uart16550::pending() const noexcept {
  Sources sources = 0;
  if ((state_.ier & kIerLine) && line_errors() != 0) sources |= source(kIirLine);
  if ((state_.ier & kIerReceive) && !state_.receive.empty()) {
    const size_t trigger = state_.fifos ? state_.receive_trigger : 1;
    sources |= source(state_.receive.size() >= trigger ? kIirReceive : kIirTimeout);
  }
  if ((state_.ier & kIerTransmit) && state_.transmit_due) sources |= source(kIirTransmit);
  if ((state_.ier & kIerModem) && state_.modem_deltas != 0) sources |= source(kIirModem);
  return sources;
}

size_t Uart16550::receive_room() const noexcept {
  return loopback() ? 0 : depth() - state_.receive.size();
}

void Uart16550::receive(uint8_t character) {
  if (!loopback()) push_received(character);
}

void Uart16550::receive_break() {
  if (!loopback()) push_received(kBreakEntry);
}

std::span<const uint8_t> Uart16550::output() const noexcept {
  return state_.transmit;
}

void Uart16550::take_output(size_t count) {
  auto& fifo = state_.transmit;
  const size_t taken = std::min(count, fifo.size());
  fifo.erase(fifo.begin(), fifo.begin() + static_cast<std::ptrdiff_t>(taken));
  if (taken != 0 && fifo.empty()) state_.transmit_due = true;
}

// Errors belong to the character at the top of the FIFO (8.3); the overrun to none.
uint8_t Uart16550::line_errors() const noexcept {
  uint8_t errors = state_.overrun ? kLsrOverrun : 0;
  if (!state_.receive.empty())
    errors = static_cast<uint8_t>(errors | state_.receive.front() >> kErrorShift);
  return errors;
}

uint8_t Uart16550::line_status() const noexcept {
  uint8_t status = line_errors();
  if (!state_.receive.empty()) status |= kLsrData;
  if (state_.transmit.empty()) status |= kLsrHoldingEmpty | kLsrTransmitterEmpty;
  const bool error_inside = std::any_of(state_.receive.begin(), state_.receive.end(),
                                        [](uint16_t entry) { return entry >> kErrorShift; });
  if (state_.fifos && error_inside) status |= kLsrFifoError;
  return status;
}

// The cable: the other end is always there and ready. In loopback the outputs come back (8.6).
uint8_t Uart16550::modem_lines() const noexcept {
  if (!loopback()) return kMsrCts | kMsrDsr | kMsrCarrier;
  uint8_t lines = 0;
  if (state_.mcr & kMcrRts) lines |= kMsrCts;
  if (state_.mcr & kMcrDtr) lines |= kMsrDsr;
  if (state_.mcr & kMcrOut1) lines |= kMsrRing;
  if (state_.mcr & kMcrOut2) lines |= kMsrCarrier;
  return lines;
}

uint8_t Uart16550::read_receiver() {
  if (state_.receive.empty()) return 0;
  const auto character = static_cast<uint8_t>(state_.receive.front());
  state_.receive.erase(state_.receive.begin());
  return character;
}

uint8_t Uart16550::read_interrupt_id() {
  const uint8_t fifos = state_.fifos ? kIirFifos : 0;
  const Sources sources = pending();
  for (const uint8_t identification : kPriority) {
    if ((sources & source(identification)) == 0) continue;
    // Reading IIR acknowledges the transmitter, and only when it is what IIR tells (table V).
    if (identification == kIirTransmit) state_.transmit_due = false;
    return fifos | identification;
  }
  return fifos | kIirNone;
}

uint8_t Uart16550::read_line_status() {
  const uint8_t status = line_status();
  state_.overrun = false;
  if (!state_.receive.empty()) state_.receive.front() &= 0xff;
  return status;
}

uint8_t Uart16550::read_modem_status() {
  const uint8_t deltas = std::exchange(state_.modem_deltas, uint8_t{0});
  return modem_lines() | deltas;
}

void Uart16550::write_transmitter(uint8_t value) {
  state_.transmit_due = false;
  if (loopback()) {
    push_received(value);
    state_.transmit_due = true;
  } else if (state_.transmit.size() < depth()) {
    state_.transmit.push_back(value);
  }
}

// Enabling the transmitter interrupt while the transmitter is empty makes it due, also when it was
// acknowledged before: drivers start transmission with that.
void Uart16550::write_interrupt_enable(uint8_t value) {
  const bool enabled = (value & ~state_.ier & kIerTransmit) != 0;
  state_.ier = value & 0x0f;
  if (enabled && state_.transmit.empty()) state_.transmit_due = true;
}

// The other bits take effect only together with bit 0; changing bit 0 empties both FIFOs (8.5).
void Uart16550::write_fifo_control(uint8_t value) {
  const bool enable = (value & kFcrEnable) != 0;
  const bool changed = enable != state_.fifos;
  state_.fifos = enable;
  if (changed || (enable && (value & kFcrClearReceive))) state_.receive.clear();
  if (changed || (enable && (value & kFcrClearTransmit))) clear_transmitter();
  state_.receive_trigger = enable ? kTriggerLevels[value >> 6] : 1;
}

void Uart16550::write_line_control(uint8_t value) {
  const bool break_begins = (value & ~state_.lcr & kLcrBreak) != 0;
  state_.lcr = value;
  if (break_begins && loopback()) push_received(kBreakEntry);
}

void Uart16550::write_modem_control(uint8_t value) {
  const uint8_t before = modem_lines();
  state_.mcr = value & 0x1f;
  const uint8_t after = modem_lines();
  const auto changed = static_cast<uint8_t>((before ^ after) >> 4);
  const bool ring_ended = (before & ~after & kMsrRing) != 0;
  state_.modem_deltas = static_cast<uint8_t>(state_.modem_deltas | (changed & ~kMsrRingEdge) |
                                             (ring_ended ? kMsrRingEdge : 0));
}

// A full FIFO keeps what it has; without FIFOs the new character overwrites the old one (8.3).
void Uart16550::push_received(uint16_t entry) {
  if (state_.receive.size() == depth()) {
    state_.overrun = true;
    if (state_.fifos) return;
    state_.receive.clear();
  }
  state_.receive.push_back(entry);
}

void Uart16550::clear_transmitter() {
  if (!state_.transmit.empty()) state_.transmit_due = true;
  state_.transmit.clear();
}

}  // namespace vireo::dev
