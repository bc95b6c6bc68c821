#include "devices/firmware/fw_cfg.h"

#include <catch2/catch.hpp>

#include "devices/testing/fake_env.h"
#include "vmm/testing/state_contract.h"

using namespace vireo;
using namespace vireo::dev;
using vireo::dev::testing::FakeEnv;
using vireo::dev::testing::state_of;

namespace {

constexpr uint64_t kPort = layout::kPortFwCfg;
constexpr uint64_t kAccess = 0x1000, kBuffer = 0x2000;
constexpr uint32_t kError = 1, kRead = 2, kSkip = 4, kSelect = 8, kWrite = 16;

FwCfgItems::Bytes bytes(std::string_view text) {
  const auto span = bytes_of_text(text);
  return {span.begin(), span.end()};
}

struct Fixture : FakeEnv {
  FwCfg device;
  std::string written{};
  explicit Fixture(const FwCfg::State& state = {})
      : device(
            "fw-cfg", env,
            [this](bool first) {
              FwCfgItems items;
              items.set(FwCfgItems::kBootMenu, bytes(first ? "first" : "later"));
              items.set(FwCfgItems::kCpus, bytes("ab"));
              items.add_file("etc/one", bytes("first"));
              items.add_file("etc/two", bytes("second"));
              items.add_writable("etc/put", 4, [this](std::span<const std::byte> in) {
                written.assign(reinterpret_cast<const char*>(in.data()), in.size());
                return written != "no!!";
              });
              return items;
            },
            state) {
    device.start();
  }
  void select(uint16_t key) { pio.write(kPort, bytes_of(le16(key))); }
  std::string next(size_t count) {
    std::string text;
    while (text.size() < count) text.push_back(static_cast<char>(in(kPort + 1)));
    return text;
  }
  // What its control field holds then.
  uint32_t dma(uint32_t command, uint32_t length, uint64_t address = kBuffer) {
    REQUIRE(memory.write(kAccess, be32(command)));
    REQUIRE(memory.write(kAccess + 4, be32(length)));
    REQUIRE(memory.write(kAccess + 8, be64(address)));
    pio.write(kPort + 8, bytes_of(be32(kAccess)));
    return *memory.read<be32>(kAccess);
  }
  std::string buffer(size_t count) {
    const auto span = *memory.range(kBuffer, count);
    return {reinterpret_cast<const char*>(span.data()), count};
  }
};

using namespace std::string_literals;

}  // namespace

TEST_CASE("the firmware's configuration tells what it is, item by item") {
  Fixture machine;
  machine.select(0);
  CHECK(machine.next(4) == "QEMU");
  machine.select(1);
  CHECK(machine.next(4) == "\3\0\0\0"s);
  machine.select(5);
  CHECK(machine.next(4) == "ab\0\0"s);
  machine.select(0x777);
  CHECK(machine.next(3) == "\0\0\0"s);
  be64 signature = 0;
  machine.pio.read(kPort + 4, writable_bytes_of(signature));
  CHECK(signature == 0x51454d5520434647);
}

TEST_CASE("files are in the directory, big-endian, with keys of their own") {
  Fixture machine;
  machine.select(0x19);
  CHECK(machine.next(4) == "\0\0\0\3"s);
  CHECK(machine.next(64) == "\0\0\0\5\0\x20\0\0etc/one"s + std::string(49, '\0'));
  CHECK(machine.next(16) == "\0\0\0\6\0\x21\0\0etc/two\0"s);
  machine.select(0x21);
  CHECK(machine.next(7) == "second\0"s);
}

TEST_CASE("DMA selects, skips, reads, and fills up with zeros") {
  Fixture machine;
  REQUIRE(machine.memory.write(kBuffer, bytes_of_text("xxxxxxxxxx")));
  CHECK(machine.dma(0x21 << 16 | kSelect | kSkip, 2) == 0);
  CHECK(machine.dma(kRead, 6) == 0);
  CHECK(machine.buffer(8) == "cond\0\0xx"s);
  CHECK(machine.dma(0x20 << 16 | kSelect | kRead, 3) == 0);
  CHECK(machine.next(2) == "st");
}

TEST_CASE("DMA that cannot be is an error, and touches nothing") {
  Fixture machine;
  CHECK(machine.dma(0x20 << 16 | kSelect | kWrite, 3) == kError);
  CHECK(machine.dma(0x20 << 16 | kSelect | kRead, 8, 2 * MiB - 4) == kError);
  CHECK(machine.dma(kRead, 8, ~uint64_t{0}) == kError);
  CHECK(machine.dma(kRead, ~uint32_t{0}) == kError);
  CHECK(machine.dma(kSkip, ~uint32_t{0}) == 0);
  CHECK(machine.dma(kSkip, ~uint32_t{0}) == 0);
  CHECK(machine.dma(kRead, 1) == 0);
  CHECK(machine.buffer(1) == "\0"s);
  machine.pio.write(kPort + 4, bytes_of(be32(~0U)));  // no RAM there
  machine.pio.write(kPort + 8, bytes_of(be32(~0U)));
}

TEST_CASE("a file that can be written is written as a whole") {
  Fixture machine;
  constexpr uint32_t kPut = 0x22 << 16 | kSelect;
  REQUIRE(machine.memory.write(kBuffer, bytes_of_text("text")));
  CHECK(machine.dma(kPut | kWrite, 3) == kError);
  CHECK(machine.dma(kPut | kWrite, 5) == kError);
  CHECK(machine.dma(kPut | kSkip, 1) == 0);
  CHECK(machine.dma(kWrite, 4) == kError);
  CHECK(machine.dma(kPut | kWrite, 4, 2 * MiB - 2) == kError);
  CHECK(machine.written.empty());
  CHECK(machine.dma(kPut | kWrite, 4) == 0);
  CHECK(machine.written == "text");
  REQUIRE(machine.memory.write(kBuffer, bytes_of_text("no!!")));
  CHECK(machine.dma(kPut | kWrite, 4) == kError);
}

TEST_CASE("accesses of other widths are ignored") {
  Fixture machine;
  machine.select(5);
  machine.out(kPort, 0);
  machine.out(kPort + 1, 0);
  le16 wide = 0;
  machine.pio.read(kPort + 1, writable_bytes_of(wide));
  CHECK(machine.next(2) == "ab");
}

TEST_CASE("a firmware can be told other things after a reset, and in a snapshot of then") {
  Fixture machine;
  machine.select(FwCfgItems::kBootMenu);
  CHECK(machine.next(5) == "first");
  machine.device.reset();
  machine.select(FwCfgItems::kBootMenu);
  CHECK(machine.next(5) == "later");
  Fixture restored(state_of(machine.device));
  restored.select(FwCfgItems::kBootMenu);
  CHECK(restored.next(5) == "later");
}

TEST_CASE("the firmware's configuration keeps the state contract") {
  const FwCfg::State used{.key = 0x21, .offset = 3, .address_high = 1, .was_reset = true};
  vireo::testing::check_state_contract<FwCfg::State>({{}, used});
  Fixture machine(used);
  CHECK(state_of(machine.device) == used);
  CHECK(machine.next(3) == "ond");
  machine.device.reset();
  CHECK(state_of(machine.device) == FwCfg::State{.was_reset = true});
  CHECK(machine.platform.acpi.devices()[0].hid == "QEMU0002");
}
