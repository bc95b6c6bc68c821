#include "devices/virtio/input.h"

#include <linux/input-event-codes.h>

#include <catch2/catch.hpp>

#include "devices/testing/guest_driver.h"
#include "devices/virtio/input_keyboard.h"
#include "devices/virtio/input_tablet.h"
#include "devices/virtio/mmio.h"
#include "vmm/testing/state_contract.h"

namespace vireo::dev {

static std::ostream& operator<<(std::ostream& out, const InputEvent& event) {
  return out << event.type << ':' << event.code << '=' << event.value;
}

namespace {

using Events = std::vector<InputEvent>;
constexpr InputEvent kEnd{EV_SYN, SYN_REPORT, 0};

template <class D>
struct Fixture {
  explicit Fixture(InputState state = {}, MmioState transport_state = {}) {
    build(std::move(state), std::move(transport_state));
  }
  void build(InputState state, MmioState transport_state) {
    auto owned = std::make_unique<D>("input", machine.virtio_env(), std::move(state));
    device = owned.get();
    transport = std::make_unique<MmioTransport>("input", machine.env, std::move(owned),
                                                std::move(transport_state));
    transport->start();
  }
  // The machine as it was saved, and runs again.
  void restore() {
    StateReader saved(machine.take_out(transport));
    auto state = saved.take<InputState>("input.device");
    build(std::move(state), saved.take<MmioState>("input"));
    machine.settle();
  }
  ~Fixture() { stop(); }
  void stop() { block_on(machine.loop, transport->stop()); }
  void start_driver() { driver.start(0, {64, 64}); }

  // Makes buffers for that many events available.
  void give(size_t count, uint32_t length = 8) {
    GuestQueue& queue = driver.queue(0);
    for (size_t i = 0; i < count; ++i) {
      buffers.push_back(queue.writable(length));
      queue.submit({buffers.back()});
    }
    driver.kick(0);
  }
  Events take() {
    machine.settle();
    Events events;
    while (const auto used = driver.queue(0).take_used()) {
      REQUIRE(used->length == 8);
      const auto bytes = driver.queue(0).contents(buffers.at(taken++));
      const auto wire = ByteReader(bytes).get<InputEventWire>();
      events.push_back({wire.type, wire.code, static_cast<int32_t>(uint32_t{wire.value})});
    }
    return events;
  }
  std::vector<std::byte> ask(uint8_t select, uint8_t subselect) {
    driver.write_config(0, select);
    driver.write_config(1, subselect);
    const auto space = driver.template read_config<InputConfigSpace>(0);
    CHECK(space.select == select);
    CHECK(space.subselect == subselect);
    REQUIRE(space.size <= space.answer.size());
    return {space.answer.begin(), space.answer.begin() + space.size};
  }
  bool has_bit(uint8_t type, uint16_t code) {
    const auto bits = ask(kInputEventBits, type);
    return code / 8U < bits.size() && (bits[code / 8U] >> code % 8U & std::byte{1}) != std::byte{0};
  }
  InputState state() const {
    StateWriter writer;
    device->save(writer);
    return StateReader(writer.take()).take<InputState>("input.device");
  }

  FakeMachine machine;
  D* device = nullptr;
  std::unique_ptr<MmioTransport> transport;
  GuestDriver driver{machine};
  std::vector<GuestBuffer> buffers;
  size_t taken = 0;
};
using KeyboardFixture = Fixture<InputKeyboard>;
using TabletFixture = Fixture<InputTablet>;

Events press(uint16_t key) {
  return {{EV_KEY, key, 1}, kEnd};
}
Events release(uint16_t key) {
  return {{EV_KEY, key, 0}, kEnd};
}
Events at(int32_t x, int32_t y) {
  return {{EV_ABS, ABS_X, x}, {EV_ABS, ABS_Y, y}, kEnd};
}
Events operator+(Events first, const Events& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

}  // namespace

TEST_CASE("a virtio input device keeps the state contract") {
  const InputState busy{.select = 0x11,
                        .subselect = 1,
                        .down = {KEY_A, KEY_LEFTSHIFT},
                        .events = press(KEY_A) + at(-1, 7)};
  vireo::testing::check_state_contract<InputState>({{}, busy});
  const KeyboardFixture f(busy);
  CHECK(f.state() == busy);
  InputState most = busy;
  most.events.assign(InputTablet::kMaxEvents - 4, kEnd);
  CHECK_NOTHROW(KeyboardFixture(most));
  most.events.push_back(kEnd);
  CHECK_THROWS_AS(KeyboardFixture(most), StateError);
}

TEST_CASE("a keyboard says what it is") {
  KeyboardFixture f;
  CHECK(f.driver.read(mmio::kDeviceId) == 18);
  REQUIRE(f.driver.negotiate(kFeatureVersion1));
  const auto name = f.ask(kInputName, 0);
  CHECK(std::string(reinterpret_cast<const char*>(name.data()), name.size()) ==
        "Vireo Virtio Keyboard");
  CHECK(f.ask(kInputIds, 0).size() == 8);
  CHECK_FALSE(f.has_bit(EV_KEY, KEY_RESERVED));
  for (uint16_t key = KEY_ESC; key <= KEY_MICMUTE; ++key) CHECK(f.has_bit(EV_KEY, key));
  CHECK_FALSE(f.has_bit(EV_KEY, KEY_MICMUTE + 1));
  CHECK(f.has_bit(EV_LED, LED_CAPSL));
  CHECK_FALSE(f.ask(kInputEventBits, EV_REP).empty());
  CHECK(f.ask(kInputEventBits, EV_ABS).empty());
  CHECK(f.ask(kInputAbsInfo, ABS_X).empty());
}

TEST_CASE("a tablet says what it is") {
  TabletFixture f;
  REQUIRE(f.driver.negotiate(kFeatureVersion1));
  CHECK(f.has_bit(EV_KEY, BTN_LEFT));
  CHECK(f.has_bit(EV_KEY, BTN_MIDDLE));
  CHECK_FALSE(f.has_bit(EV_KEY, KEY_A));
  CHECK(f.has_bit(EV_REL, REL_WHEEL));
  CHECK(f.has_bit(EV_ABS, ABS_Y));
  const auto axis = f.ask(kInputAbsInfo, ABS_Y);
  REQUIRE(axis.size() == 20);
  CHECK(ByteReader(axis).get<InputAbsInfo>().most == 32767U);
}

TEST_CASE("whatever is selected, the answer fits, and only the selection can be written") {
  TabletFixture f;
  REQUIRE(f.driver.negotiate(kFeatureVersion1));
  for (int select = 0; select < 256; ++select)
    for (const int subselect : {0, 1, 3, 17, 255})
      f.ask(static_cast<uint8_t>(select), static_cast<uint8_t>(subselect));
  f.driver.write_config(0, le32(0xffff0001));
  const auto space = f.driver.read_config<InputConfigSpace>(0);
  CHECK(space.select == kInputName);
  CHECK(space.subselect == 0);
  f.driver.write_config(8, le32(0xffffffff));
  CHECK(f.driver.read_config<InputConfigSpace>(0).answer == space.answer);
}

TEST_CASE("keys go to the driver, once it is up") {
  KeyboardFixture f;
  CHECK_FALSE(f.device->listens());
  f.device->key(KEY_A, true);
  f.start_driver();
  CHECK(f.device->listens());
  f.give(8);
  CHECK(f.take().empty());
  f.device->key(KEY_B, true);
  f.device->key(KEY_B, true);  // the guest repeats keys by itself
  f.device->key(KEY_B, false);
  f.device->key(KEY_B, false);
  CHECK(f.take() == press(KEY_B) + release(KEY_B));
  CHECK(f.driver.take_interrupts() >= 1);
  f.device->key(KEY_RESERVED, true);
  f.device->key(KEY_MICMUTE + 1, true);
  CHECK(f.take().empty());
}

TEST_CASE("events wait for buffers") {
  KeyboardFixture f;
  f.start_driver();
  f.device->key(KEY_A, true);
  f.device->key(KEY_A, false);
  CHECK(f.take().empty());
  f.give(3);
  CHECK(f.take() == press(KEY_A) + Events{{EV_KEY, KEY_A, 0}});
  f.give(3);
  CHECK(f.take() == Events{kEnd});
}

TEST_CASE("a driver that gives no buffers loses presses, never releases") {
  KeyboardFixture f;
  f.start_driver();
  for (uint16_t key = KEY_1; key <= KEY_0; ++key) f.device->key(key, true);
  for (int i = 0; i < 2000; ++i) {
    f.device->key(KEY_SPACE, true);
    f.device->key(KEY_SPACE, false);
  }
  for (uint16_t key = KEY_1; key <= KEY_0; ++key) f.device->key(key, false);
  CHECK(f.state().events.size() <= InputDevice::kMaxEvents);
  CHECK(f.state().down.empty());
  std::map<uint16_t, int> down;
  while (!f.state().events.empty()) {
    f.give(32);
    for (const InputEvent& event : f.take())
      if (event.type == EV_KEY) down[event.code] += event.value != 0 ? 1 : -1;
  }
  CHECK(down.size() == 11);
  for (const auto& [key, count] : down) CHECK(count == 0);
  f.device->key(KEY_Z, true);
  f.give(2);
  CHECK(f.take() == press(KEY_Z));
}

TEST_CASE("a buffer without room costs no event") {
  KeyboardFixture f;
  f.start_driver();
  f.device->key(KEY_A, true);
  GuestQueue& queue = f.driver.queue(0);
  queue.submit({queue.writable(7)});
  queue.submit({queue.readable("8 bytes!")});
  f.driver.kick(0);
  REQUIRE(queue.take_used()->length == 0);
  REQUIRE(queue.take_used()->length == 0);
  f.give(2);
  CHECK(f.take() == press(KEY_A));
  CHECK_FALSE(f.driver.needs_reset());
}

TEST_CASE("the pointer is where it was last, and presses keep their order") {
  TabletFixture f;
  f.start_driver();
  for (int i = 1; i <= 5000; ++i) f.device->point({static_cast<uint32_t>(i), 7}, 0, {});
  f.device->point({10, 20}, InputTablet::kLeft, {});
  f.device->point({11, 21}, 0, {});
  f.device->point({12, 22}, 0, {.vertical = -1, .horizontal = 1});
  f.device->point({13, 23}, 0, {});
  f.give(32);
  const Events position{{EV_ABS, ABS_X, 10}, {EV_ABS, ABS_Y, 20}};
  CHECK(f.take() == at(5000, 7) + position + press(BTN_LEFT) +
                        Events{{EV_ABS, ABS_X, 11}, {EV_ABS, ABS_Y, 21}} + release(BTN_LEFT) +
                        Events{{EV_ABS, ABS_X, 12},
                               {EV_ABS, ABS_Y, 22},
                               {EV_REL, REL_WHEEL, -1},
                               {EV_REL, REL_HWHEEL, 1},
                               kEnd} +
                        at(13, 23));
}

TEST_CASE("a report of which part is out already is not changed any more") {
  TabletFixture f;
  f.start_driver();
  f.give(1);
  f.device->point({1, 2}, 0, {});
  CHECK(f.take() == Events{{EV_ABS, ABS_X, 1}});
  f.device->point({3, 4}, 0, {});
  f.give(8);
  CHECK(f.take() == Events{{EV_ABS, ABS_Y, 2}, kEnd} + at(3, 4));
}

TEST_CASE("a driver that gives no buffers sees every button released") {
  TabletFixture f;
  f.start_driver();
  for (int i = 0; i < 5000; ++i) {
    const int pressed = i % 2 == 0 ? InputTablet::kLeft | InputTablet::kRight : 0;
    f.device->point({1, 1}, static_cast<uint8_t>(pressed), {.vertical = 1});
  }
  CHECK(f.state().down.empty());
  CHECK(f.state().events.size() <= InputDevice::kMaxEvents);
}

TEST_CASE("the driver's lights are taken") {
  KeyboardFixture f;
  f.start_driver();
  GuestQueue& status = f.driver.queue(1);
  for (int i = 0; i < 100; ++i) {
    status.submit({status.readable(bytes_of(InputEventWire{EV_LED, LED_CAPSL, 1}))});
    f.driver.kick(1);
    REQUIRE(status.take_used()->length == 0);
  }
}

TEST_CASE("while the machine is paused nothing is taken, and afterwards all goes on") {
  KeyboardFixture f;
  f.start_driver();
  f.give(64);
  f.device->key(KEY_A, true);
  f.device->key(KEY_S, true);
  CHECK(f.take() == press(KEY_A) + press(KEY_S));
  f.stop();
  const InputState before = f.state();
  CHECK_FALSE(f.device->listens());
  f.device->key(KEY_A, false);
  f.device->key(KEY_B, true);
  CHECK(f.state() == before);
  f.transport->start();
  f.machine.settle();
  f.device->release_all_but({KEY_S, KEY_Q});
  CHECK(f.take() == release(KEY_A));
}

TEST_CASE("a reset forgets everything") {
  KeyboardFixture f;
  f.start_driver();
  f.device->key(KEY_A, true);
  f.driver.reset();
  CHECK(f.state() == InputState{});
  CHECK_FALSE(f.device->listens());
}

TEST_CASE("a saved device goes on with what the driver has not fetched") {
  KeyboardFixture f;
  f.start_driver();
  f.device->key(KEY_A, true);
  f.stop();
  const InputState saved = f.state();
  CHECK(saved.events == press(KEY_A));
  f.restore();
  CHECK(f.state() == saved);
  f.give(4);
  CHECK(f.take() == press(KEY_A));
  f.device->key(KEY_A, false);
  CHECK(f.take() == release(KEY_A));
}

}  // namespace vireo::dev
