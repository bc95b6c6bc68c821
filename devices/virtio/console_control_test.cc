#include "devices/virtio/console_control.h"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "devices/chardev/open.h"
#include "devices/testing/guest_driver.h"
#include "devices/virtio/console.h"
#include "devices/virtio/mmio.h"
#include "vmm/testing/state_contract.h"

namespace vireo::dev {
namespace {

struct Fixture {
  explicit Fixture(ConsoleState state = {}) {
    auto device = std::make_unique<Console>("port", machine.virtio_env(), make_char_backend({}, {}),
                                            ConsolePort{"vireo.test"}, std::move(state));
    transport = std::make_unique<MmioTransport>("port", machine.env, std::move(device));
    transport->start();
    driver.start(kConsoleFeatureMultiport, {16, 16, 16, 16});
  }
  ~Fixture() { block_on(machine.loop, transport->stop()); }

  GuestQueue& told() { return driver.queue(ConsoleControl::kReceive); }
  GuestBuffer offer(uint32_t length = 64) {
    const GuestBuffer buffer = told().writable(length);
    told().submit({buffer});
    driver.kick(ConsoleControl::kReceive);
    return buffer;
  }
  void say(uint16_t event, uint32_t id = 0) {
    GuestQueue& queue = driver.queue(ConsoleControl::kTransmit);
    queue.submit({queue.readable(bytes_of(ConsoleControlMessage{id, event, uint16_t{1}}))});
    driver.kick(ConsoleControl::kTransmit);
    CHECK(queue.take_used().value().length == 0);
  }
  // The event that the buffer was filled with, and what follows it.
  std::pair<uint16_t, std::string> heard(const GuestBuffer& buffer) {
    const auto used = told().take_used();
    if (!used) return {0xffff, "nothing"};
    const std::vector<std::byte> bytes = told().contents(buffer);
    const auto message = ByteReader(bytes).get<ConsoleControlMessage>();
    CHECK(message.id == 0);
    CHECK(message.value == 1);
    return {message.event,
            std::string(reinterpret_cast<const char*>(bytes.data()) + sizeof(message),
                        used->length - sizeof(message))};
  }
  ConsoleState saved() const {
    StateWriter writer;
    transport->save(writer);
    return StateReader(writer.take()).take<ConsoleState>("port.device");
  }

  FakeMachine machine;
  std::unique_ptr<MmioTransport> transport;
  GuestDriver driver{machine};
};

using Heard = std::pair<uint16_t, std::string>;

}  // namespace

TEST_CASE("a driver is told of the port, its name, and that it is open") {
  Fixture f;
  CHECK(f.driver.read_config<le32>(4) == 1);
  const GuestBuffer first = f.offer(), second = f.offer(), third = f.offer();
  CHECK_FALSE(f.told().take_used());
  f.say(kConsoleDeviceReady);
  CHECK(f.heard(first) == Heard(kConsolePortAdd, ""));
  f.say(kConsolePortReady);
  CHECK(f.heard(second) == Heard(kConsolePortName, "vireo.test"));
  CHECK(f.heard(third) == Heard(kConsolePortOpen, ""));
}

TEST_CASE("what a driver has no buffer for waits, and is part of the state") {
  Fixture f;
  f.say(kConsoleDeviceReady);
  f.say(kConsoleDeviceReady);
  f.say(kConsolePortReady);
  block_on(f.machine.loop, f.transport->stop());
  CHECK(f.saved().announcements == ConsoleControl::kAll);
  f.transport->start();
  f.machine.settle();
  CHECK(f.heard(f.offer()).first == kConsolePortAdd);
  CHECK(f.heard(f.offer()).first == kConsolePortName);
  CHECK(f.heard(f.offer()).first == kConsolePortOpen);
  f.offer();
  CHECK_FALSE(f.told().take_used());
}

TEST_CASE("control messages of other ports, of other kinds and cut short are ignored") {
  Fixture f;
  f.offer();
  f.say(kConsolePortReady, 1);
  f.say(kConsolePortOpen);
  GuestQueue& queue = f.driver.queue(ConsoleControl::kTransmit);
  queue.submit({queue.readable("short")});
  f.driver.kick(ConsoleControl::kTransmit);
  CHECK(queue.take_used());
  CHECK_FALSE(f.told().take_used());
  CHECK_FALSE(f.driver.needs_reset());
}

TEST_CASE("only a console with a named port has announcements") {
  FakeMachine machine;
  const auto make = [&](uint8_t announcements) {
    Console("port", machine.virtio_env(), make_char_backend({}, {}), ConsolePort{"a"},
            {.announcements = announcements});
  };
  CHECK_NOTHROW(make(ConsoleControl::kAll));
  CHECK_THROWS_AS(make(ConsoleControl::kAll + 1), StateError);
  CHECK_THROWS_AS(
      Console("hvc", machine.virtio_env(), make_char_backend({}, {}), {.announcements = 1}),
      StateError);
}

}  // namespace vireo::dev
