#include "vmm/ioapic.h"

#include <span>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "vmm/base/bytes.h"
#include "vmm/testing/state_contract.h"

namespace vireo {
namespace {

// Local APICs that keep what they are sent.
struct Apics : LocalApics {
  void send(MsiMessage message) noexcept override { delivered.push_back(message); }
  void report_ends_of(std::span<const MsiMessage> messages) override {
    ++reports;
    reported.assign(messages.begin(), messages.end());
  }
  std::vector<MsiMessage> delivered;
  std::vector<MsiMessage> reported;
  int reports = 0;
};

class Board : public Apics {
 public:
  uint32_t read(uint32_t reg) {
    bus_.write(layout::kIoApic, bytes_of(reg));
    uint32_t value = 0;
    bus_.read(layout::kIoApic + 0x10, writable_bytes_of(value));
    return value;
  }
  void write(uint32_t reg, uint32_t value) {
    bus_.write(layout::kIoApic, bytes_of(reg));
    bus_.write(layout::kIoApic + 0x10, bytes_of(value));
  }
  void write_entry(uint32_t input, uint64_t entry) {
    write(0x11 + 2 * input, static_cast<uint32_t>(entry >> 32));
    write(0x10 + 2 * input, static_cast<uint32_t>(entry));
  }

  size_t take() { return std::exchange(delivered, {}).size(); }

 private:
  Bus bus_{"mmio"};

 public:
  IoApic chip{bus_, *this};
};

TEST_CASE("the chip tells its version, its inputs, and starts masked") {
  Board board;
  CHECK(board.read(0x01) == 0x00170011);
  for (uint32_t input = 0; input < 24; ++input)
    CHECK(board.read(0x10 + 2 * input) == kIoApicMasked);
  board.write(0x00, 0xffffffff);
  CHECK(board.read(0x00) == 0x0f000000);
}

TEST_CASE("an unmasked input sends its message to its destination") {
  Board board;
  board.write_entry(4, uint64_t{3} << 56 | 0x31);
  board.chip.raise(4);
  board.write_entry(5, uint64_t{0xff} << 56 | 1 << 11 | 1 << 8 | 0x42);  // logical, lowest priority
  board.chip.raise(5);
  CHECK(board.delivered == std::vector<MsiMessage>{{0xfee03000, 0x31}, {0xfeeff004, 0x142}});
}

TEST_CASE("an edge while masked is delivered once, when unmasked") {
  Board board;
  board.chip.raise(7);
  board.chip.raise(7);
  CHECK(board.delivered.empty());
  board.write_entry(7, 0x55);
  CHECK(board.delivered == std::vector<MsiMessage>{{0xfee00000, 0x55}});
  board.write_entry(7, 0x56);
  CHECK(board.delivered.size() == 1);
}

TEST_CASE("status bits cannot be written, registers beyond the last do nothing") {
  Board board;
  board.write_entry(1, 1 << 12 | 1 << 14 | 0x20);
  CHECK(board.read(0x12) == 0x20);
  for (const uint32_t reg : {0x02U, 0x0fU, 0x40U, 0xffU}) {
    const auto before = board.chip.save().entries;
    board.write(reg, 0);
    CHECK(board.chip.save().entries == before);
  }
  CHECK(board.read(0x40) == 0);
}

constexpr uint64_t kLevel = 1 << 15, kRemoteIrr = 1 << 14;
constexpr uint8_t kVector = 0x38;

TEST_CASE("an edge-triggered input interrupts when its line rises") {
  Board board;
  board.write_entry(8, kVector);
  board.chip.set(8, true);
  board.chip.set(8, true);
  board.chip.end_of_interrupt(kVector);
  CHECK(board.delivered == std::vector<MsiMessage>{{0xfee00000, kVector}});
  board.chip.set(8, false);
  CHECK(board.take() == 1);
  board.chip.set(8, true);
  CHECK(board.take() == 1);
  CHECK(board.reports == 0);
}

TEST_CASE("a level-triggered input interrupts for as long as its line is high") {
  Board board;
  board.write_entry(8, kLevel | kVector);
  board.chip.set(8, true);
  CHECK(board.delivered == std::vector<MsiMessage>{{0xfee00000, kLevel | 1 << 14 | kVector}});
  CHECK(board.read(0x20) == (kLevel | kRemoteIrr | kVector));
  board.chip.set(8, false);
  board.chip.set(8, true);
  CHECK(board.take() == 1);  // it has not ended
  board.chip.end_of_interrupt(kVector + 1);
  CHECK(board.take() == 0);
  board.chip.end_of_interrupt(kVector);
  CHECK(board.take() == 1);
  board.chip.set(8, false);
  board.chip.end_of_interrupt(kVector);
  CHECK(board.take() == 0);
  CHECK(board.read(0x20) == (kLevel | kVector));
}

TEST_CASE("a level that rose while masked interrupts when unmasked, unless it has fallen") {
  Board board;
  board.write_entry(8, kIoApicMasked | kLevel | kVector);
  board.chip.set(8, true);
  board.chip.set(8, false);
  board.write_entry(8, kLevel | kVector);
  CHECK(board.take() == 0);
  board.write_entry(8, kIoApicMasked | kLevel | kVector);
  board.chip.set(8, true);
  board.write_entry(8, kLevel | kVector);
  CHECK(board.take() == 1);
  // Masked between the interrupt and its end.
  board.write_entry(8, kIoApicMasked | kLevel | kVector);
  board.chip.end_of_interrupt(kVector);
  CHECK(board.take() == 0);
  board.write_entry(8, kLevel | kVector);
  CHECK(board.take() == 1);
}

TEST_CASE("an edge at a level-triggered input is one interrupt, also when the last has not ended") {
  Board board;
  board.write_entry(5, kLevel | kVector);
  board.chip.raise(5);
  board.chip.raise(5);
  CHECK(board.take() == 1);
  board.chip.end_of_interrupt(kVector);
  CHECK(board.take() == 1);
  board.chip.end_of_interrupt(kVector);
  CHECK(board.take() == 0);
}

TEST_CASE("an input that is made edge-triggered for a moment forgets an end that never came") {
  Board board;
  board.write_entry(8, kLevel | kVector);
  board.chip.set(8, true);
  board.write_entry(8, kIoApicMasked | kVector);
  board.write_entry(8, kLevel | kVector);
  CHECK(board.take() == 2);
}

TEST_CASE("the ends of level-triggered interrupts are reported, and told to KVM when they change") {
  Board board;
  board.write_entry(4, 0x31);
  board.write_entry(5, kLevel | 4 << 8 | 0x32);  // an NMI is an edge
  CHECK(board.reports == 0);
  board.write_entry(8, kLevel | kVector);
  const MsiMessage message{0xfee00000, kLevel | 1 << 14 | kVector};
  CHECK(board.reported == std::vector<MsiMessage>{message});
  const int before = board.reports;
  board.write_entry(8, kIoApicMasked | kLevel | kVector);
  board.write_entry(8, kLevel | kVector);
  CHECK(board.reports == before);
  Bus bus("mmio");
  Apics apics;
  IoApic again(bus, apics, board.chip.save());
  CHECK(apics.reported == board.reported);
  board.chip.reset();
  CHECK(board.reported.empty());
}

TEST_CASE("a machine that goes on from a snapshot does not wait for an end that it may have had") {
  Board board;
  board.write_entry(8, kLevel | kVector);
  board.chip.set(8, true);
  Bus bus("mmio");
  Apics apics;
  IoApic again(bus, apics, board.chip.save());
  again.set(8, true);
  CHECK(apics.delivered.size() == 1);
}

TEST_CASE("state survives saving, a reset gives the power-on state") {
  Board board;
  board.write_entry(3, 0x33 | kIoApicMasked);
  board.chip.raise(3);
  const IoApic::State state = board.chip.save();
  Bus bus("mmio");
  Apics apics;
  IoApic again(bus, apics, state);
  CHECK(again.save() == state);
  bus.write(layout::kIoApic, bytes_of(uint32_t{0x16}));
  bus.write(layout::kIoApic + 0x10, bytes_of(uint32_t{0x33}));
  CHECK(apics.delivered.size() == 1);
  board.chip.reset();
  CHECK(board.chip.save() == IoApic::State{});
}

TEST_CASE("accesses of odd sizes and offsets are harmless") {
  Board board;
  Bus bus("mmio");
  Apics apics;
  IoApic chip(bus, apics);
  for (uint64_t offset = 0; offset < 0x1000; offset += 3) {
    for (const size_t size : {1U, 2U, 4U, 8U}) {
      std::vector<std::byte> bytes(size, std::byte{0xa5});
      bus.write(layout::kIoApic + offset, bytes);
      bus.read(layout::kIoApic + offset, bytes);
    }
  }
  CHECK(chip.save().pending == 0);
}

TEST_CASE("the state of the I/O APIC keeps the contract") {
  IoApicState busy{.select = 0x12, .id = 0x0f000000, .pending = 1 << 4};
  busy.entries[4] = 0xff000000'00000931;
  testing::check_state_contract<IoApicState>({{}, busy});
}

}  // namespace
}  // namespace vireo
