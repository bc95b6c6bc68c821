// Register accesses and characters in any order. Each pair of bytes is one step: what, and a value.
// Holds: no access reads or writes out of bounds, every state that can be reached is one that can
// be restored, IIR and the pending conditions agree, FIFOs stay within their size.
#include <cstdint>
#include <span>

#include "devices/legacy/uart16550.h"
#include "vmm/base/error.h"

using namespace vireo;
using vireo::dev::Uart16550;

namespace {

void step(Uart16550& chip, uint8_t what, uint8_t value) {
  const uint8_t reg = what % Uart16550::kRegisters;
  switch (what / Uart16550::kRegisters % 5) {
    case 0:
      chip.write(reg, value);
      break;
    case 1:
      chip.read(reg);
      break;
    case 2:
      chip.receive(value);
      break;
    case 3:
      chip.receive_break();
      break;
    default:
      chip.take_output(value);
      break;
  }
}

void check(const Uart16550& chip) {
  VMM_CHECK(chip.output().size() <= Uart16550::kFifoSize, "the transmit FIFO is bounded");
  VMM_CHECK(chip.receive_room() <= Uart16550::kFifoSize, "the receive FIFO is bounded");
  Uart16550 copy(chip.state());
  VMM_CHECK(copy.state() == chip.state(), "a state is restored as it was saved");
  const bool told = (copy.read(2) & Uart16550::kIirNone) == 0;
  VMM_CHECK(told == (chip.pending() != 0), "IIR tells when something is pending");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Uart16550 chip;
  for (const std::span<const uint8_t> input(data, size); size >= 2; size -= 2) {
    const size_t at = input.size() - size;
    step(chip, input[at], input[at + 1]);
    check(chip);
  }
  return 0;
}
