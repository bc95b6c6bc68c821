#include "devices/guest_input.h"

#include <linux/input-event-codes.h>

#include <catch2/catch.hpp>

#include "devices/testing/guest_driver.h"
#include "devices/virtio/mmio.h"

namespace vireo::dev {
namespace {

using Button = display::Input;

struct Fixture {
  Fixture() {
    ps2.start();
    tablet_driver.heap() = GuestHeap(FakeMachine::kMemory / 2);
    keyboard_transport.start();
    tablet_transport.start();
    input.start();
    write_port(layout::kPortI8042Command, 0xd4);
    write_port(layout::kPortI8042Data, 0xf4);  // the mouse reports
    read_ps2();
  }
  ~Fixture() { stop(); }
  void stop() {
    block_on(machine.loop, input.stop());
    for (Device* device : devices()) block_on(machine.loop, device->stop());
  }
  void go_on() {
    for (Device* device : devices()) device->start();
    input.start();
    machine.settle();
  }
  std::vector<Device*> devices() { return {&ps2, &keyboard_transport, &tablet_transport}; }

  void write_port(uint16_t port, uint8_t value) { machine.pio.write(port, bytes_of(value)); }
  uint8_t read_port(uint16_t port) {
    uint8_t value = 0;
    machine.pio.read(port, writable_bytes_of(value));
    return value;
  }
  std::vector<uint8_t> read_ps2() {
    std::vector<uint8_t> bytes;
    while (read_port(layout::kPortI8042Command) & I8042Chip::kOutputFull)
      bytes.push_back(read_port(layout::kPortI8042Data));
    return bytes;
  }
  static void start_driver(GuestDriver& driver) {
    driver.start(0, {64, 64});
    for (int i = 0; i < 32; ++i) driver.queue(0).submit({driver.queue(0).writable(8)});
    driver.kick(0);
  }
  // The events that arrived, without the ends of reports: type, code, value.
  std::vector<std::array<uint32_t, 3>> read_virtio(GuestDriver& driver) {
    machine.settle();
    std::vector<std::array<uint32_t, 3>> events;
    while (const auto used = driver.queue(0).take_used()) {
      const auto descriptor = machine.memory.read<Descriptor>(driver.queue(0).layout().descriptors +
                                                              16 * uint64_t{used->id});
      const auto event = machine.memory.read<InputEventWire>(descriptor.value().address).value();
      if (event.type != EV_SYN) events.push_back({event.type, event.code, event.value});
    }
    return events;
  }

  FakeMachine machine;
  I8042 ps2{"i8042", machine.env, Ps2Devices::keyboard_and_mouse};
  InputKeyboard* keyboard = nullptr;
  InputTablet* tablet = nullptr;
  template <class D>
  std::unique_ptr<D> make(D*& device) {
    auto owned = std::make_unique<D>("input", machine.virtio_env());
    device = owned.get();
    return owned;
  }
  MmioTransport keyboard_transport{"keyboard", machine.env, make(keyboard)};
  MmioTransport tablet_transport{"tablet", machine.env, make(tablet)};
  GuestInput input{machine.loop, {ps2, *keyboard, *tablet}, {1000, 500}};
  GuestDriver keyboard_driver{machine, 0};
  GuestDriver tablet_driver{machine, 1};
};

using Bytes = std::vector<uint8_t>;
using Events = std::vector<std::array<uint32_t, 3>>;

}  // namespace

TEST_CASE("keys go to the PS/2 keyboard until the virtio driver is up") {
  Fixture f;
  f.input.key(KEY_A, true);
  f.input.key(KEY_A, false);
  CHECK(f.read_ps2() == Bytes{0x1e, 0x9e});
  Fixture::start_driver(f.keyboard_driver);
  f.input.key(KEY_B, true);
  f.input.key(KEY_B, false);
  CHECK(f.read_ps2().empty());
  CHECK(f.read_virtio(f.keyboard_driver) == Events{{EV_KEY, KEY_B, 1}, {EV_KEY, KEY_B, 0}});
  f.keyboard_driver.reset();
  f.input.key(KEY_C, true);
  f.input.key(KEY_C, false);
  CHECK(f.read_ps2() == Bytes{0x2e, 0xae});
}

TEST_CASE("a key that is held while the driver comes or goes is released where it was pressed") {
  Fixture f;
  f.input.key(KEY_A, true);
  Fixture::start_driver(f.keyboard_driver);
  f.input.key(KEY_B, true);
  f.input.key(KEY_A, false);
  CHECK(f.read_ps2() == Bytes{0x1e, 0x9e});
  f.input.key(KEY_B, false);
  CHECK(f.read_virtio(f.keyboard_driver) == Events{{EV_KEY, KEY_B, 1}, {EV_KEY, KEY_B, 0}});
  CHECK(f.read_ps2().empty());
}

TEST_CASE("without its driver the pointer moves the mouse") {
  Fixture f;
  f.input.pointer(10, 20, 0);
  CHECK(f.read_ps2() == Bytes{0x28, 10, 0xec});
  f.input.pointer(5, 15, Button::kLeft | Button::kMiddle);
  CHECK(f.read_ps2() == Bytes{0x1d, 0xfb, 5});
  f.input.pointer(5, 15, Button::kRight | Button::kWheelUp);  // a mouse without a wheel
  CHECK(f.read_ps2() == Bytes{0x0a, 0, 0});
}

TEST_CASE("with its driver the pointer is where it is") {
  Fixture f;
  Fixture::start_driver(f.tablet_driver);
  f.input.pointer(0, 0, 0);
  f.input.pointer(999, 499, Button::kLeft);
  CHECK(f.read_virtio(f.tablet_driver) == Events{{EV_ABS, ABS_X, 0},
                                                 {EV_ABS, ABS_Y, 0},
                                                 {EV_ABS, ABS_X, 32767},
                                                 {EV_ABS, ABS_Y, 32767},
                                                 {EV_KEY, BTN_LEFT, 1}});
  f.input.pointer(60000, 60000, Button::kWheelDown | Button::kWheelRight);
  f.input.pointer(60000, 60000, Button::kWheelDown | Button::kWheelRight);  // still held
  f.input.pointer(60000, 60000, 0);
  CHECK(f.read_virtio(f.tablet_driver) == Events{{EV_ABS, ABS_X, 32767},
                                                 {EV_ABS, ABS_Y, 32767},
                                                 {EV_REL, REL_WHEEL, 0xffffffff},
                                                 {EV_REL, REL_HWHEEL, 1},
                                                 {EV_KEY, BTN_LEFT, 0},
                                                 {EV_ABS, ABS_X, 32767},
                                                 {EV_ABS, ABS_Y, 32767},
                                                 {EV_ABS, ABS_X, 32767},
                                                 {EV_ABS, ABS_Y, 32767}});
  CHECK(f.read_ps2().empty());
}

TEST_CASE("every column has a place of its own on the tablet") {
  Fixture f;
  Fixture::start_driver(f.tablet_driver);
  for (const int x : {1, 499, 500, 998}) {
    f.input.pointer(static_cast<uint16_t>(x), 0, 0);
    const auto events = f.read_virtio(f.tablet_driver);
    REQUIRE(events.size() == 2);
    CHECK((events[0][2] * 999 + 32767 / 2) / 32767 ==
          static_cast<uint32_t>(x));  // as a guest scales it back
  }
}

TEST_CASE("a mouse button that is held when the tablet comes up is released") {
  Fixture f;
  f.input.pointer(0, 0, Button::kLeft);
  CHECK(f.read_ps2() == Bytes{0x09, 0, 0});
  Fixture::start_driver(f.tablet_driver);
  f.input.pointer(1, 1, Button::kLeft);
  CHECK(f.read_ps2() == Bytes{0x08, 0, 0});
}

TEST_CASE("what is let go while the machine is paused is released when it goes on") {
  const bool virtio = GENERATE(false, true);
  Fixture f;
  if (virtio) Fixture::start_driver(f.keyboard_driver);
  if (virtio) Fixture::start_driver(f.tablet_driver);
  f.input.key(KEY_A, true);
  f.input.key(KEY_B, true);
  f.input.pointer(0, 0, Button::kLeft | Button::kRight);
  f.read_ps2();
  if (virtio) f.read_virtio(f.keyboard_driver);
  if (virtio) f.read_virtio(f.tablet_driver);
  f.stop();
  f.input.key(KEY_A, false);
  f.input.key(KEY_C, true);
  f.input.pointer(9, 9, Button::kRight);
  f.go_on();
  if (virtio) {
    CHECK(f.read_virtio(f.keyboard_driver) == Events{{EV_KEY, KEY_A, 0}});
    CHECK(f.read_virtio(f.tablet_driver) == Events{{EV_KEY, BTN_LEFT, 0}});
    CHECK(f.read_ps2().empty());
  } else {
    CHECK(f.read_ps2() == Bytes{0x9e, 0x0a, 0, 0});
  }
}

namespace {

void type(Fixture& f, int count) {
  for (int i = 0; i < count; ++i) {
    f.input.key(static_cast<uint16_t>(KEY_1 + i % 9), true);
    f.input.key(static_cast<uint16_t>(KEY_1 + i % 9), false);
  }
}

void pass(Fixture& f, std::chrono::milliseconds time) {
  *f.machine.stopped_clock += time;
  f.machine.settle();
}

Bytes typed(int count) {
  Bytes bytes;
  for (int i = 0; i < count; ++i)
    for (const int release : {0, 0x80})
      bytes.push_back(static_cast<uint8_t>((KEY_1 + i % 9) | release));
  return bytes;
}

}  // namespace

TEST_CASE("what is typed before the guest speaks to the keyboard waits for it") {
  Fixture f;
  f.machine.stopped_clock = EventLoop::Clock::time_point{};
  type(f, 100);
  pass(f, std::chrono::seconds(10));
  SECTION("a guest that only empties the controller has that done in few reads") {
    CHECK(f.read_ps2().size() <= 16);
  }
  SECTION("a guest that switches the keyboard on gets all of it") {
    f.write_port(layout::kPortI8042Data, 0xf4);
    pass(f, std::chrono::milliseconds(500));
    Bytes bytes = f.read_ps2();
    bytes.erase(std::ranges::find(bytes, 0xfa));
    CHECK(bytes == typed(100));
  }
  SECTION("so does one that never says anything, and reads") {
    Bytes bytes;
    for (int i = 0; i < 200; ++i) {
      for (const uint8_t byte : f.read_ps2()) bytes.push_back(byte);
      pass(f, std::chrono::milliseconds(i == 0 ? 500 : 10));
    }
    CHECK(bytes == typed(100));
  }
  SECTION("so does one that has a virtio driver only") {
    f.read_ps2();
    Fixture::start_driver(f.keyboard_driver);
    pass(f, std::chrono::milliseconds(500));
    CHECK(f.read_virtio(f.keyboard_driver).size() > 10);
  }
}

TEST_CASE("a guest that reads nothing costs a try now and then, and some memory") {
  Fixture f;
  f.machine.stopped_clock = EventLoop::Clock::time_point{};
  type(f, 100'000);
  f.input.key(KEY_A, true);  // one too many
  f.input.key(KEY_A, false);
  int tries = 0;
  for (int i = 0; i < 1000; ++i) {  // hundredths of a second
    *f.machine.stopped_clock += std::chrono::milliseconds(10);
    tries += f.machine.loop.step() ? 1 : 0;
  }
  CHECK(tries <= 30);
  f.write_port(layout::kPortI8042Data, 0xf4);
  pass(f, std::chrono::milliseconds(500));
  const size_t kept = f.read_ps2().size();
  CHECK(kept >= 500);
  CHECK(kept <= 800);
  type(f, 3);
  CHECK(f.read_ps2() == typed(3));
}

TEST_CASE(
    "what waits when the machine is paused goes on waiting, without what is typed meanwhile") {
  Fixture f;
  f.machine.stopped_clock = EventLoop::Clock::time_point{};
  type(f, 9);
  f.stop();
  type(f, 1000);
  f.go_on();
  f.write_port(layout::kPortI8042Data, 0xf4);
  pass(f, std::chrono::milliseconds(500));
  Bytes bytes = f.read_ps2();
  bytes.erase(std::ranges::find(bytes, 0xfa));
  CHECK(bytes == typed(9));
}

TEST_CASE("a viewer that names any number of keys holds no more than some") {
  Fixture f;
  f.machine.stopped_clock = EventLoop::Clock::time_point{};
  for (int key = 0; key < 0x10000; ++key) f.input.key(static_cast<uint16_t>(key), true);
  for (int key = 0; key < 0x10000; ++key) f.input.key(static_cast<uint16_t>(key), false);
  f.write_port(layout::kPortI8042Data, 0xf4);
  for (int i = 0; i < 10; ++i) {
    pass(f, std::chrono::milliseconds(500));
    f.read_ps2();
  }
  f.input.key(KEY_A, true);
  CHECK(f.read_ps2() == Bytes{0x1e});
}

}  // namespace vireo::dev
