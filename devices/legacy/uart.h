// A serial port: the 16550A chip (uart16550.h) at its ports and interrupt, wired to a character
// backend.
//
// Threads: vCPUs touch the chip under one small mutex and never wait; the home loop moves bytes
// between chip and backend, a batch at a time. Owns the backend.
//
// Output goes chip -> a buffer of kOutputLimit bytes -> the loop -> the backend. When the backend
// is slow the buffer fills, the chip keeps its FIFO and THRE stays 0: the guest's driver waits, no
// vCPU does.
// Input waits outside the chip until the guest's side is up: what is typed early survives the
// driver's FIFO reset. It is up when the guest has raised RTS, as with hardware flow control, or
// enabled receive interrupts, or when it polls for input: it reads the line status again and again
// although it could send.
//
// Interrupt: the line is edge-triggered, the chip's INTR a level. An edge is sent whenever the set
// of pending conditions changed and is not empty, whenever input arrived and something is pending,
// and at start(). That is more than hardware sends; a driver that looks once more and finds nothing
// is not harmed, one that waits for an edge that never comes is.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "devices/chardev/backend.h"
#include "devices/legacy/byte_registers.h"
#include "devices/legacy/uart16550.h"
#include "vmm/base/async_sync.h"
#include "vmm/device.h"

namespace vireo::dev {

struct UartState {
  static constexpr StateTag kTag{"serial-port", 1};
  Uart16550::State chip{};
  std::vector<uint8_t> output{};  // sent by the guest, not yet taken by the backend
  std::vector<uint8_t> input{};   // received from the backend, not yet in the chip
  static void fields(auto& s, auto& archive) {
    archive("chip", s.chip)("output", s.output)("input", s.input);
  }
  bool operator==(const UartState&) const = default;
};

class Uart final : public Device, private ByteRegisters, private CharFrontend {
 public:
  static constexpr size_t kOutputLimit = 4096;  // in each of the two buffers on the way out

  using State = UartState;

  // COM1. Throws ConfigError when its ports or interrupt are taken, StateError on a bad state.
  Uart(std::string name, DeviceEnv& env, std::unique_ptr<CharBackend> backend, State state = {});

  const std::string& name() const noexcept override { return name_; }
  void start() override;
  // Gives the backend half a second to take what the guest has sent; the rest stays in the State.
  Task<void> stop() override;
  void reset() override;
  void save(StateWriter& writer) const override;

 private:
  // Any vCPU.
  uint8_t read_register(uint64_t offset) override;
  void write_register(uint64_t offset, uint8_t value) override;

  // The loop.
  void receive(std::span<const std::byte> bytes) override;
  void writable() override;
  void receive_break() override;
  void pump();
  void send_batch();

  // With mutex_ held.
  void settle(Uart16550::Sources before);
  void collect_output();
  void feed_chip();
  void note_poll(uint8_t line_status) noexcept;
  bool guest_listens() const noexcept;
  bool loop_has_work() const noexcept;
  State snapshot() const;

  const std::string name_;
  EventLoop& loop_;
  const std::unique_ptr<CharBackend> backend_;
  IrqLine irq_;

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  Uart16550 chip_;
  std::vector<uint8_t> output_;  // at most kOutputLimit
  std::vector<uint8_t> input_;   // at most CharFrontend::kMaxReceive
  int polls_ = 0;  // of a line on which the guest could have sent and had nothing to read
  bool pump_posted_ = false;
  bool backend_full_ = false;  // writable() will come

  // The loop's:
  std::vector<uint8_t> sending_;  // the batch the backend is taking
  bool open_ = false;
  bool accepting_ = false;  // from start() to stop(): input is wanted
  Event drained_;           // everything the guest sent has been taken

  Bus::Region ports_;  // last: nothing reaches a half-built or half-destroyed port
};

}  // namespace vireo::dev
