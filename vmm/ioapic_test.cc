#include "vmm/ioapic.h"

#include <vector>

#include <catch2/catch.hpp>

#include "vmm/base/bytes.h"
#include "vmm/testing/state_contract.h"

namespace vireo {
namespace {

class Board {
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

  std::vector<MsiMessage> delivered;

 private:
  Bus bus_{"mmio"};

 public:
  IoApic chip{bus_, [this](MsiMessage message) { delivered.push_back(message); }};
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

TEST_CASE("state survives saving, a reset gives the power-on state") {
  Board board;
  board.write_entry(3, 0x33 | kIoApicMasked);
  board.chip.raise(3);
  const IoApic::State state = board.chip.save();
  Bus bus("mmio");
  std::vector<MsiMessage> delivered;
  IoApic again(
      bus, [&](MsiMessage message) { delivered.push_back(message); }, state);
  CHECK(again.save() == state);
  bus.write(layout::kIoApic, bytes_of(uint32_t{0x16}));
  bus.write(layout::kIoApic + 0x10, bytes_of(uint32_t{0x33}));
  CHECK(delivered.size() == 1);
  board.chip.reset();
  CHECK(board.chip.save() == IoApic::State{});
}

TEST_CASE("accesses of odd sizes and offsets are harmless") {
  Board board;
  Bus bus("mmio");
  IoApic chip(bus, [](MsiMessage) {});
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
