#include "vmm/bus.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <thread>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo {
namespace {

// Remembers the last access; answers every read with `answer`.
class Probe : public IoHandler {
 public:
  void io_read(uint64_t offset, std::span<std::byte> out) override {
    last_offset = offset;
    last_size = out.size();
    std::fill(out.begin(), out.end(), answer);
  }
  void io_write(uint64_t offset, std::span<const std::byte> in) override {
    last_offset = offset;
    last_size = in.size();
  }
  std::byte answer{0x5a};
  uint64_t last_offset = ~0ULL;
  size_t last_size = 0;
};

uint64_t read(const Bus& bus, uint64_t address, size_t size) {
  std::array<std::byte, 8> bytes{};
  bus.read(address, std::span(bytes).first(size));
  uint64_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

TEST_CASE("an access reaches the range it lies in, with its offset") {
  Bus bus("mmio");
  Probe low, high;
  const auto a = bus.map({0x1000, 0x10}, low, "low");
  const auto b = bus.map({0x1010, 0x10}, high, "high");
  CHECK(read(bus, 0x1004, 4) == 0x5a5a5a5a);
  CHECK(low.last_offset == 4);
  CHECK(low.last_size == 4);
  bus.write(0x101f, std::array<std::byte, 1>{});
  CHECK(high.last_offset == 0xf);
}

TEST_CASE("unmapped addresses read as ones and swallow writes") {
  Bus bus("port");
  CHECK(read(bus, 0x80, 1) == 0xff);
  CHECK(read(bus, 0x80, 4) == 0xffffffff);
  bus.write(~0ULL, std::array<std::byte, 8>{});
  CHECK(read(bus, ~0ULL, 8) == ~0ULL);
}

TEST_CASE("an access over a range's end, or around the address space, counts as unmapped") {
  Bus bus("mmio");
  Probe probe;
  const auto region = bus.map({0x1000, 0x10}, probe, "probe");
  CHECK(read(bus, 0x100e, 4) == 0xffffffff);
  CHECK(read(bus, 0xffe, 4) == 0xffffffff);
  CHECK(probe.last_offset == ~0ULL);
  const auto top = bus.map({~0ULL - 3, 4}, probe, "top");
  CHECK(read(bus, ~0ULL - 3, 4) == 0x5a5a5a5a);
  CHECK(read(bus, ~0ULL - 3, 8) == ~0ULL);
}

TEST_CASE("overlapping, empty and wrapping ranges are refused, naming both sides") {
  Bus bus("mmio");
  Probe probe;
  const auto region = bus.map({0x1000, 0x10}, probe, "first");
  CHECK_THROWS_WITH(bus.map({0x100f, 1}, probe, "second"),
                    Catch::Contains("second") && Catch::Contains("first"));
  CHECK_THROWS_AS(bus.map({0xff0, 0x11}, probe, "x"), ConfigError);
  CHECK_THROWS_AS(bus.map({0xff0, 0x1000}, probe, "x"), ConfigError);
  CHECK_THROWS_AS(bus.map({0x5000, 0}, probe, "x"), ConfigError);
  CHECK_THROWS_AS(bus.map({~0ULL - 1, 4}, probe, "x"), ConfigError);
}

TEST_CASE("a region ends with its object, and moves") {
  Bus bus("mmio");
  Probe probe;
  {
    auto region = bus.map({0x1000, 4}, probe, "probe");
    const auto moved = std::move(region);
    CHECK(read(bus, 0x1000, 4) == 0x5a5a5a5a);
  }
  CHECK(read(bus, 0x1000, 4) == 0xffffffff);
  const auto again = bus.map({0x1000, 4}, probe, "again");
}

// As a PCI function whose base address is written by the guest.
class Mover : public Probe {
 public:
  explicit Mover(Bus& bus) : bus_(bus) {}
  void io_write(uint64_t offset, std::span<const std::byte> in) override {
    Probe::io_write(offset, in);
    place(at_ == 0x1000 ? 0x2000 : 0x1000);
  }
  void place(uint64_t at) {
    region_ = {};
    region_ = bus_.map({at_ = at, 0x10}, *this, "mover");
  }

 private:
  Bus& bus_;
  uint64_t at_ = 0;
  Bus::Region region_;
};

TEST_CASE("a handler moves its own range in the middle of an access") {
  Bus bus("mmio");
  Mover mover(bus);
  mover.place(0x1000);
  for (int i = 0; i < 3; ++i) {
    bus.write(0x1004, std::array<std::byte, 4>{});
    CHECK(read(bus, 0x1000, 4) == 0xffffffff);
    CHECK(read(bus, 0x2000, 4) == 0x5a5a5a5a);
    bus.write(0x2004, std::array<std::byte, 4>{});
    CHECK(read(bus, 0x1000, 4) == 0x5a5a5a5a);
    CHECK(read(bus, 0x2000, 4) == 0xffffffff);
  }
}

TEST_CASE("one thread maps and unmaps while another one reads") {
  Bus bus("mmio");
  Probe moving;
  std::atomic<bool> done = false;
  std::thread vcpu([&] {
    while (!done) {
      const uint64_t value = read(bus, 0x1000, 4);
      if (value != 0x5a5a5a5a && value != 0xffffffff) std::abort();
    }
  });
  for (int i = 0; i < 10'000; ++i) const auto region = bus.map({0x1000, 0x10}, moving, "moving");
  done = true;
  vcpu.join();
}

}  // namespace
}  // namespace vireo
