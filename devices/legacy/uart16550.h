// The National Semiconductor PC16550D as a pure register model: no threads, interrupts, time or
// I/O. References: the data sheet, section 8 (registers) and 8.4 (interrupts).
//
// Thread: none of its own; the board serialises. Owns its State and nothing else.
//
// Where it differs from silicon, because characters take no time here:
//  * The transmitter sends only when the board takes bytes (take_output()); with nobody taking,
//    THRE stays 0. A character written to a full transmit FIFO is lost, as on the chip.
//  * The character timeout (data below the trigger level that nobody reads) is due at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vmm/base/state.h"

namespace vireo::dev {

class Uart16550 {
 public:
  static constexpr uint8_t kRegisters = 8;
  static constexpr size_t kFifoSize = 16;
  static constexpr uint8_t kTransmitter = 0, kLineStatus = 5;

  enum Ier : uint8_t { kIerReceive = 1, kIerTransmit = 2, kIerLine = 4, kIerModem = 8 };
  enum Iir : uint8_t {
    kIirModem = 0x00,
    kIirNone = 0x01,
    kIirTransmit = 0x02,
    kIirReceive = 0x04,
    kIirLine = 0x06,
    kIirTimeout = 0x0c,
    kIirFifos = 0xc0
  };
  enum Fcr : uint8_t { kFcrEnable = 1, kFcrClearReceive = 2, kFcrClearTransmit = 4 };
  enum Lcr : uint8_t { kLcrBreak = 0x40, kLcrDivisor = 0x80 };
  enum Mcr : uint8_t { kMcrDtr = 1, kMcrRts = 2, kMcrOut1 = 4, kMcrOut2 = 8, kMcrLoop = 0x10 };
  enum Lsr : uint8_t {
    kLsrData = 0x01,
    kLsrOverrun = 0x02,
    kLsrBreak = 0x10,
    kLsrHoldingEmpty = 0x20,
    kLsrTransmitterEmpty = 0x40,
    kLsrFifoError = 0x80
  };
  enum Msr : uint8_t {
    kMsrRingEdge = 0x04,  // set by RI going away; the other deltas by any change
    kMsrCts = 0x10,
    kMsrDsr = 0x20,
    kMsrRing = 0x40,
    kMsrCarrier = 0x80
  };

  struct State {
    static constexpr StateTag kTag{"uart16550", 1};
    uint8_t ier = 0;
    uint8_t lcr = 0;
    uint8_t mcr = 0;
    uint8_t scratch = 0;
    uint8_t modem_deltas = 0;  // MSR bits 0-3
    uint8_t receive_trigger = 1;
    uint16_t divisor = 12;
    bool fifos = false;
    bool overrun = false;
    bool transmit_due = false;      // the THRE interrupt condition, until IIR or THR is accessed
    std::vector<uint16_t> receive;  // the character, and in the high byte its LSR error bits
    std::vector<uint8_t> transmit;
    static void fields(auto& s, auto& archive) {
      archive("ier", s.ier)("lcr", s.lcr)("mcr", s.mcr)("scratch", s.scratch);
      archive("modem_deltas", s.modem_deltas)("receive_trigger", s.receive_trigger);
      archive("divisor", s.divisor)("fifos", s.fifos)("overrun", s.overrun);
      archive("transmit_due", s.transmit_due)("receive", s.receive)("transmit", s.transmit);
    }
    bool operator==(const State&) const = default;
  };

  Uart16550() = default;
  explicit Uart16550(State state);  // throws StateError on what no chip can hold
  const State& state() const noexcept { return state_; }

  // `reg` below kRegisters: the address lines A0-A2.
  uint8_t read(uint8_t reg);
  void write(uint8_t reg, uint8_t value);

  // Every interrupt condition that is enabled and present, as a set of 1 << (IIR identification);
  // empty: the INTR pin is low.
  using Sources = uint32_t;
  Sources pending() const noexcept;

  // The serial input: how many characters fit (none in loopback mode: the pin is disconnected).
  size_t receive_room() const noexcept;
  void receive(uint8_t character);
  void receive_break();

  // The serial output: what the transmitter holds, until the board has taken it.
  std::span<const uint8_t> output() const noexcept;
  void take_output(size_t count);

 private:
  size_t depth() const noexcept { return state_.fifos ? kFifoSize : 1; }
  bool divisor_access() const noexcept { return (state_.lcr & kLcrDivisor) != 0; }
  bool loopback() const noexcept { return (state_.mcr & kMcrLoop) != 0; }
  uint8_t line_errors() const noexcept;
  uint8_t line_status() const noexcept;
  uint8_t modem_lines() const noexcept;

  uint8_t read_receiver();
  uint8_t read_interrupt_id();
  uint8_t read_line_status();
  uint8_t read_modem_status();

  void write_transmitter(uint8_t value);
  void write_interrupt_enable(uint8_t value);
  void write_fifo_control(uint8_t value);
  void write_line_control(uint8_t value);
  void write_modem_control(uint8_t value);
  void push_received(uint16_t entry);
  void clear_transmitter();

  State state_;
};

}  // namespace vireo::dev
