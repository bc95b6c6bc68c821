#include "devices/virtio/rng.h"

#include <algorithm>

#include <catch2/catch.hpp>

#include "devices/testing/guest_driver.h"
#include "devices/virtio/mmio.h"

namespace vireo::dev {
namespace {

struct Fixture {
  Fixture() {
    transport.start();
    driver.start(0, {8});
  }
  ~Fixture() { block_on(machine.loop, transport.stop()); }

  FakeMachine machine;
  MmioTransport transport{"rng", machine.env, std::make_unique<Rng>("rng", machine.virtio_env())};
  GuestDriver driver{machine};
};

bool all_zero(const std::vector<std::byte>& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

TEST_CASE("rng fills all buffers of a request") {
  Fixture f;
  CHECK(f.driver.read(mmio::kDeviceId) == 4);
  GuestQueue& queue = f.driver.queue(0);
  const auto first = queue.writable(64);
  const auto second = queue.writable(64);
  queue.submit({first, second});
  f.driver.kick(0);
  const auto used = queue.take_used();
  REQUIRE(used);
  CHECK(used->length == 128);
  CHECK_FALSE(all_zero(queue.contents(first)));
  CHECK_FALSE(all_zero(queue.contents(second)));
  CHECK(queue.contents(first) != queue.contents(second));
  CHECK(f.driver.take_interrupts() == 1);
}

TEST_CASE("rng bounds what one request gets") {
  Fixture f;
  GuestQueue& queue = f.driver.queue(0);
  const auto buffer = queue.writable(Rng::kMaxBytes + 4096);
  queue.submit({buffer});
  f.driver.kick(0);
  const auto used = queue.take_used();
  REQUIRE(used);
  CHECK(used->length == Rng::kMaxBytes);
  std::vector<std::byte> bytes = queue.contents(buffer);
  bytes.erase(bytes.begin(), bytes.begin() + Rng::kMaxBytes);
  CHECK(all_zero(bytes));
}

TEST_CASE("rng returns a request without room") {
  Fixture f;
  GuestQueue& queue = f.driver.queue(0);
  queue.submit({queue.readable("seed")});
  f.driver.kick(0);
  const auto used = queue.take_used();
  REQUIRE(used);
  CHECK(used->length == 0);
  CHECK_FALSE(f.driver.needs_reset());
}

TEST_CASE("rng stops and goes on") {
  Fixture f;
  GuestQueue& queue = f.driver.queue(0);
  block_on(f.machine.loop, f.transport.stop());
  queue.submit({queue.writable(16)});
  f.transport.start();
  f.machine.settle();
  CHECK(queue.take_used());
}

}  // namespace vireo::dev
