#include "devices/legacy/uart16550.h"

#include <string>

#include <catch2/catch.hpp>

#include "vmm/testing/state_contract.h"

using namespace vireo;
using namespace vireo::dev;
using Chip = Uart16550;

namespace {

constexpr uint8_t kData = 0, kIer = 1, kIir = 2, kFcr = 2, kLcr = 3, kMcr = 4, kLsr = 5, kMsr = 6,
                  kScratch = 7;
constexpr uint8_t kIdle = Chip::kLsrHoldingEmpty | Chip::kLsrTransmitterEmpty;

Chip with_fifos(uint8_t trigger_bits = 0x00) {
  Chip chip;
  chip.write(kFcr, static_cast<uint8_t>(Chip::kFcrEnable | trigger_bits));
  return chip;
}

void receive(Chip& chip, size_t count) {
  for (size_t i = 0; i < count; ++i) chip.receive(static_cast<uint8_t>('a' + i));
}

Chip::State busy_state() {
  Chip chip = with_fifos(0xc0);
  chip.write(kIer, 0x0f);
  chip.write(kScratch, 0x5a);
  chip.write(kMcr, Chip::kMcrRts);
  receive(chip, 17);
  chip.receive_break();
  chip.write(kData, 'x');
  Chip::State state = chip.state();
  state.transmit_due = true;
  state.modem_deltas = 0x0b;
  state.divisor = 0x0102;
  state.lcr = 0x1b;
  return state;
}

}  // namespace

TEST_CASE("a 16550 keeps the state contract") {
  vireo::testing::check_state_contract<Chip::State>({{}, busy_state()});
  REQUIRE(Chip(busy_state()).state() == busy_state());
}

TEST_CASE("a 16550 refuses a state that no chip can have") {
  Chip::State state;
  SECTION("more received than fits") {
    state.receive.resize(2);
  }
  SECTION("more to send than fits") {
    state.transmit.resize(2);
  }
  SECTION("an error that does not exist") {
    state.receive = {0x0200};
  }
  SECTION("a trigger level that does not exist") {
    state.receive_trigger = 2;
  }
  SECTION("interrupts that do not exist") {
    state.ier = 0x10;
  }
  SECTION("outputs that do not exist") {
    state.mcr = 0x20;
  }
  SECTION("modem changes that do not exist") {
    state.modem_deltas = 0x10;
  }
  REQUIRE_THROWS_AS(Chip(state), StateError);
}

TEST_CASE("a 16550 has its registers where drivers look for them") {
  Chip chip;
  REQUIRE(chip.read(kLsr) == kIdle);
  REQUIRE(chip.read(kIir) == Chip::kIirNone);
  REQUIRE(chip.read(kMsr) == (Chip::kMsrCts | Chip::kMsrDsr | Chip::kMsrCarrier));
  chip.write(kScratch, 0xa5);
  REQUIRE(chip.read(kScratch) == 0xa5);
  chip.write(kIer, 0xff);
  REQUIRE(chip.read(kIer) == 0x0f);
  chip.write(kMcr, 0xe3);
  REQUIRE(chip.read(kMcr) == 0x03);
  chip.write(kLsr, 0x00);
  chip.write(kMsr, 0x00);
  REQUIRE(chip.read(kLsr) == kIdle);
}

TEST_CASE("the divisor latch hides data and interrupt enable") {
  Chip chip;
  chip.write(kLcr, Chip::kLcrDivisor | 0x03);
  chip.write(kData, 0x34);
  chip.write(kIer, 0x12);
  REQUIRE(chip.read(kData) == 0x34);
  REQUIRE(chip.read(kIer) == 0x12);
  REQUIRE(chip.state().divisor == 0x1234);
  chip.write(kLcr, 0x03);
  REQUIRE(chip.read(kIer) == 0x00);
  REQUIRE(chip.output().empty());
}

TEST_CASE("the transmitter sends what is taken, and tells when it is empty") {
  Chip chip = with_fifos();
  for (char c = 'a'; c < 'a' + 16; ++c) chip.write(kData, static_cast<uint8_t>(c));
  REQUIRE((chip.read(kLsr) & kIdle) == 0);
  chip.write(kData, 'X');  // the FIFO is full: lost
  REQUIRE(std::string(chip.output().begin(), chip.output().end()) == "abcdefghijklmnop");
  chip.take_output(15);
  REQUIRE((chip.read(kLsr) & kIdle) == 0);
  chip.take_output(1);
  REQUIRE((chip.read(kLsr) & kIdle) == kIdle);
}

TEST_CASE("without FIFOs one character is sent at a time") {
  Chip chip;
  chip.write(kData, 'a');
  chip.write(kData, 'b');
  REQUIRE(chip.output().size() == 1);
  REQUIRE(chip.output().front() == 'a');
}

TEST_CASE("the transmitter interrupt") {
  Chip chip = with_fifos();
  chip.write(kIer, Chip::kIerTransmit);
  REQUIRE(chip.pending() != 0);  // empty when enabled: due at once

  SECTION("is acknowledged by reading IIR, and only once told") {
    REQUIRE(chip.read(kIir) == (Chip::kIirFifos | Chip::kIirTransmit));
    REQUIRE(chip.read(kIir) == (Chip::kIirFifos | Chip::kIirNone));
  }
  SECTION("is acknowledged by writing data, and due again when that has gone") {
    chip.write(kData, 'a');
    REQUIRE(chip.pending() == 0);
    chip.take_output(1);
    REQUIRE(chip.read(kIir) == (Chip::kIirFifos | Chip::kIirTransmit));
  }
  SECTION("is due again when it is enabled again") {
    chip.read(kIir);
    chip.write(kIer, 0);
    chip.write(kIer, Chip::kIerTransmit);
    REQUIRE(chip.read(kIir) == (Chip::kIirFifos | Chip::kIirTransmit));
  }
  SECTION("is not due again when it stays enabled") {
    chip.read(kIir);
    chip.write(kIer, Chip::kIerTransmit);
    REQUIRE(chip.pending() == 0);
  }
  SECTION("stays due while IIR tells of something more urgent") {
    chip.write(kIer, Chip::kIerTransmit | Chip::kIerReceive);
    chip.receive('a');
    REQUIRE(chip.read(kIir) == (Chip::kIirFifos | Chip::kIirReceive));
    chip.read(kData);
    REQUIRE(chip.read(kIir) == (Chip::kIirFifos | Chip::kIirTransmit));
  }
  SECTION("is due when the FIFO is cleared") {
    chip.write(kData, 'a');
    chip.write(kFcr, Chip::kFcrEnable | Chip::kFcrClearTransmit);
    REQUIRE(chip.read(kIir) == (Chip::kIirFifos | Chip::kIirTransmit));
    REQUIRE(chip.output().empty());
  }
  SECTION("survives being saved while due") {
    const Chip restored(chip.state());
    REQUIRE(restored.pending() != 0);
  }
}

TEST_CASE("the receiver gives characters in order and its level decides on the interrupt") {
  struct Level {
    uint8_t bits;
    size_t characters;
  };
  for (const Level level : {Level{0x00, 1}, Level{0x40, 4}, Level{0x80, 8}, Level{0xc0, 14}}) {
    Chip chip = with_fifos(level.bits);
    chip.write(kIer, Chip::kIerReceive);
    receive(chip, level.characters - 1);
    if (level.characters > 1) REQUIRE(chip.read(kIir) == (Chip::kIirFifos | Chip::kIirTimeout));
    chip.receive('z');
    REQUIRE(chip.read(kIir) == (Chip::kIirFifos | Chip::kIirReceive));
    for (size_t i = 0; i + 1 < level.characters; ++i) REQUIRE(chip.read(kData) == 'a' + i);
    REQUIRE((chip.read(kLsr) & Chip::kLsrData) != 0);
    REQUIRE(chip.read(kData) == 'z');
    REQUIRE((chip.read(kLsr) & Chip::kLsrData) == 0);
    REQUIRE(chip.pending() == 0);
  }
}

TEST_CASE("a receiver with too much keeps what it has and tells of the overrun once") {
  Chip chip = with_fifos();
  chip.write(kIer, Chip::kIerLine);
  receive(chip, 17);
  REQUIRE(chip.receive_room() == 0);
  REQUIRE(chip.read(kIir) == (Chip::kIirFifos | Chip::kIirLine));
  REQUIRE((chip.read(kLsr) & Chip::kLsrOverrun) != 0);
  REQUIRE((chip.read(kLsr) & Chip::kLsrOverrun) == 0);
  REQUIRE(chip.pending() == 0);
  REQUIRE(chip.read(kData) == 'a');
}

TEST_CASE("without FIFOs the newest character overwrites") {
  Chip chip;
  receive(chip, 2);
  REQUIRE((chip.read(kLsr) & Chip::kLsrOverrun) != 0);
  REQUIRE(chip.read(kData) == 'b');
  REQUIRE(chip.read(kData) == 0);  // nothing there
}

TEST_CASE("a break is told when its character is next") {
  Chip chip = with_fifos();
  chip.write(kIer, Chip::kIerLine);
  chip.receive('a');
  chip.receive_break();
  REQUIRE(chip.pending() == 0);
  REQUIRE((chip.read(kLsr) & (Chip::kLsrBreak | Chip::kLsrFifoError)) == Chip::kLsrFifoError);
  REQUIRE(chip.read(kData) == 'a');
  REQUIRE(chip.read(kIir) == (Chip::kIirFifos | Chip::kIirLine));
  REQUIRE((chip.read(kLsr) & Chip::kLsrBreak) != 0);
  REQUIRE((chip.read(kLsr) & (Chip::kLsrBreak | Chip::kLsrFifoError)) == 0);
  REQUIRE(chip.read(kData) == 0);
}

TEST_CASE("switching the FIFOs empties them") {
  Chip chip = with_fifos();
  receive(chip, 3);
  chip.write(kData, 'x');
  SECTION("off") {
    chip.write(kFcr, 0);
  }
  SECTION("cleared") {
    chip.write(kFcr, 0x07);
  }
  REQUIRE((chip.read(kLsr) & (Chip::kLsrData | kIdle)) == kIdle);
  REQUIRE(chip.output().empty());
}

TEST_CASE("in loopback everything comes back and nothing leaves") {
  Chip chip = with_fifos();
  chip.write(kMcr, Chip::kMcrLoop);
  chip.read(kMsr);
  REQUIRE(chip.read(kMsr) == 0);
  REQUIRE(chip.receive_room() == 0);
  chip.receive('z');
  chip.receive_break();
  REQUIRE((chip.read(kLsr) & Chip::kLsrData) == 0);

  for (int i = 0; i < 256; ++i) chip.write(kData, static_cast<uint8_t>(i));
  REQUIRE(chip.output().empty());
  int count = 0;
  while (chip.read(kLsr) & Chip::kLsrData) REQUIRE(chip.read(kData) == count++);
  REQUIRE(count == 16);  // how drivers measure the FIFO

  chip.write(kLcr, Chip::kLcrBreak);
  REQUIRE((chip.read(kLsr) & Chip::kLsrBreak) != 0);
}

TEST_CASE("in loopback the outputs are the modem's inputs, and changes interrupt") {
  Chip chip;
  chip.write(kMcr, Chip::kMcrLoop | Chip::kMcrRts | Chip::kMcrOut2);
  REQUIRE((chip.read(kMsr) & 0xf0) == (Chip::kMsrCts | Chip::kMsrCarrier));
  chip.write(kIer, Chip::kIerModem);
  REQUIRE(chip.pending() == 0);
  chip.write(kMcr, Chip::kMcrLoop | Chip::kMcrDtr | Chip::kMcrOut1);
  REQUIRE(chip.read(kIir) == Chip::kIirModem);
  REQUIRE(chip.read(kMsr) == (Chip::kMsrDsr | Chip::kMsrRing | 0x0b));  // all but the ring
  chip.write(kMcr, Chip::kMcrLoop | Chip::kMcrDtr);
  REQUIRE(chip.read(kMsr) == (Chip::kMsrDsr | Chip::kMsrRingEdge));
  REQUIRE(chip.read(kMsr) == Chip::kMsrDsr);
  REQUIRE(chip.pending() == 0);
}

TEST_CASE("interrupts are told in the order of their priority") {
  Chip chip = with_fifos(0xc0);
  chip.write(kMcr, Chip::kMcrLoop | Chip::kMcrRts);
  chip.write(kIer, 0x0f);
  receive(chip, 1);
  chip.write(kMcr, 0);
  chip.receive_break();
  receive(chip, 1);
  REQUIRE(chip.read(kIir) == (Chip::kIirFifos | Chip::kIirLine));
  chip.read(kLsr);
  REQUIRE(chip.read(kIir) == (Chip::kIirFifos | Chip::kIirTimeout));
  chip.read(kData);
  chip.read(kData);
  REQUIRE(chip.read(kIir) == (Chip::kIirFifos | Chip::kIirTransmit));
  REQUIRE(chip.read(kIir) == (Chip::kIirFifos | Chip::kIirModem));
  chip.read(kMsr);
  REQUIRE(chip.read(kIir) == (Chip::kIirFifos | Chip::kIirNone));
}
