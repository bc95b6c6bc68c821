#include "devices/virtio/console.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>

#include "devices/testing/guest_driver.h"
#include "devices/virtio/mmio.h"
#include "vmm/testing/state_contract.h"

namespace vireo::dev {
namespace {

// A backend whose both ends the test holds.
class TestBackend final : public CharBackend {
 public:
  void open(EventLoop&, CharFrontend& frontend) override {
    frontend_ = &frontend;
    readable = false;
  }
  void close() override { frontend_ = nullptr; }
  size_t write(std::span<const std::byte> bytes) override {
    CHECK(frontend_ != nullptr);
    const size_t taken = std::min(bytes.size(), room);
    output.append(reinterpret_cast<const char*>(bytes.data()), taken);
    room -= taken;
    largest_write = std::max(largest_write, bytes.size());
    return taken;
  }
  void set_readable(bool now) override { readable = now; }

  void type(std::string_view text) {
    CHECK(readable);
    frontend_->receive(bytes_of_text(text));
  }
  void make_room(size_t bytes) {
    room += bytes;
    frontend_->writable();
  }
  bool is_open() const noexcept { return frontend_ != nullptr; }

  bool readable = false;
  size_t room = 1000000000;
  size_t largest_write = 0;
  std::string output;

 private:
  CharFrontend* frontend_ = nullptr;
};

struct Fixture {
  explicit Fixture(ConsoleState state = {}) {
    auto owned = std::make_unique<TestBackend>();
    backend = owned.get();
    auto device = std::make_unique<Console>("console", machine.virtio_env(), std::move(owned),
                                            std::move(state));
    console = device.get();
    transport = std::make_unique<MmioTransport>("console", machine.env, std::move(device));
    transport->start();
  }
  ~Fixture() { stop(); }
  void start() { driver.start(kFeatureIndirect | kFeatureEventIdx, {16, 16}); }
  void stop() { block_on(machine.loop, transport->stop()); }
  ConsoleState saved() const {
    StateWriter writer;
    transport->save(writer);
    return StateReader(writer.take()).take<ConsoleState>("console.device");
  }
  GuestQueue& input() { return driver.queue(0); }
  GuestQueue& output() { return driver.queue(1); }
  GuestBuffer offer_input(uint32_t length) {
    const GuestBuffer buffer = input().writable(length);
    input().submit({buffer});
    return buffer;
  }
  std::string text_in(const GuestBuffer& buffer, size_t length) {
    const auto bytes = input().contents(buffer);
    return {reinterpret_cast<const char*>(bytes.data()), length};
  }
  void print(std::string_view text) {
    output().submit({output().readable(text)});
    driver.kick(1);
  }

  FakeMachine machine;
  TestBackend* backend = nullptr;
  Console* console = nullptr;
  std::unique_ptr<MmioTransport> transport;
  GuestDriver driver{machine};
};

}  // namespace

TEST_CASE("console output reaches the backend in order") {
  Fixture f;
  CHECK(f.driver.read(mmio::kDeviceId) == 3);
  f.start();
  f.output().submit({f.output().readable("hello "), f.output().readable("world")});
  f.print("!\n");
  CHECK(f.backend->output == "hello world!\n");
  CHECK(f.output().take_used().value().length == 0);
  CHECK(f.output().take_used());
  CHECK(f.driver.take_interrupts() >= 1);
}

TEST_CASE("output waits with the driver while the backend is full") {
  Fixture f;
  f.start();
  f.backend->room = 3;
  f.print("hello");
  f.print("again");
  CHECK(f.backend->output == "hel");
  CHECK_FALSE(f.output().take_used());
  f.backend->make_room(1);
  CHECK(f.backend->output == "hell");
  f.backend->make_room(100);
  CHECK(f.backend->output == "helloagain");
  CHECK(f.output().used_index() == 2);
}

TEST_CASE("large output is copied in bounded parts") {
  Fixture f;
  f.start();
  const std::string text(1000000, 'x');
  f.print(text);
  CHECK(f.backend->output.size() == text.size());
  CHECK(f.backend->largest_write <= 4096);
}

TEST_CASE("output without a readable byte, or to a writable buffer, does no harm") {
  Fixture f;
  f.start();
  f.output().submit({f.output().writable(16)});
  f.driver.kick(1);
  CHECK(f.output().take_used().value().length == 0);
  CHECK(f.backend->output.empty());
}

TEST_CASE("input goes into the driver's buffers") {
  Fixture f;
  f.start();
  CHECK(f.backend->readable);
  const GuestBuffer first = f.offer_input(4);
  const GuestBuffer second = f.offer_input(8);
  f.driver.kick(0);
  f.backend->type("typed");
  CHECK(f.input().take_used().value().length == 4);
  CHECK(f.input().take_used().value().length == 1);
  CHECK(f.text_in(first, 4) == "type");
  CHECK(f.text_in(second, 1) == "d");
  CHECK(f.driver.take_interrupts() == 1);
  CHECK(f.backend->readable);
}

TEST_CASE("input waits with the backend while the driver gives no buffers") {
  Fixture f;
  f.start();
  f.backend->type("ab");
  CHECK_FALSE(f.backend->readable);
  const GuestBuffer buffer = f.offer_input(8);
  f.driver.kick(0);
  CHECK(f.text_in(buffer, 2) == "ab");
  CHECK(f.backend->readable);
}

TEST_CASE("nobody types before the driver is there, nor after it has gone") {
  Fixture f;
  CHECK(f.backend->is_open());
  CHECK_FALSE(f.backend->readable);
  f.start();
  CHECK(f.backend->readable);
  f.driver.reset();
  CHECK_FALSE(f.backend->readable);
  CHECK(f.backend->is_open());
}

TEST_CASE("input buffers without room are returned") {
  Fixture f;
  f.start();
  f.input().submit({f.input().readable("no room")});
  const GuestBuffer buffer = f.offer_input(4);
  f.driver.kick(0);
  f.backend->type("x");
  CHECK(f.input().take_used().value().length == 0);
  CHECK(f.input().take_used().value().length == 1);
  CHECK(f.text_in(buffer, 1) == "x");
}

TEST_CASE("the size is told to the driver") {
  Fixture f;
  f.start();
  f.driver.take_interrupts();
  CHECK(f.driver.read_config<le32>(0) == 0);
  f.console->set_size(80, 25);
  CHECK(f.driver.read_config<le16>(0) == 80);
  CHECK(f.driver.read_config<le16>(2) == 25);
  CHECK(f.driver.take_interrupt_status() == mmio::kInterruptConfig);
}

TEST_CASE("a console stops at once even when its backend is stuck, and loses nothing") {
  Fixture f;
  f.start();
  f.backend->room = 3;
  f.print("hello");
  f.print("again");
  f.backend->type("in");
  f.stop();
  CHECK_FALSE(f.backend->is_open());
  CHECK(f.saved() == ConsoleState{.input = {'i', 'n'}, .sent = 3});
  CHECK(f.output().used_index() == 0);

  f.transport->start();
  f.backend->make_room(100);
  f.machine.settle();
  CHECK(f.backend->output == "helloagain");
  CHECK(f.output().used_index() == 2);
  const GuestBuffer buffer = f.offer_input(8);
  f.driver.kick(0);
  CHECK(f.text_in(buffer, 2) == "in");
  f.stop();
  CHECK(f.saved() == ConsoleState{});
}

TEST_CASE("a reset while the backend is stuck gives the power-on state") {
  Fixture f;
  f.start();
  f.backend->room = 1;
  f.print("hello");
  f.backend->type("in");
  f.driver.reset();
  CHECK(f.saved() == ConsoleState{});
  f.start();
  f.backend->make_room(100);
  f.print("new");
  CHECK(f.backend->output == "hnew");
}

TEST_CASE("console state is kept, and checked") {
  const ConsoleState state{.input = {'a', 'b'}, .sent = 7};
  vireo::testing::check_state_contract<ConsoleState>({{}, state});
  CHECK(Fixture(state).saved() == state);
  ConsoleState large;
  large.input.resize(CharFrontend::kMaxReceive + 1);
  CHECK_THROWS_AS(Fixture(large), StateError);
}

TEST_CASE("more was sent than the next buffer holds: it counts as sent") {
  Fixture f(ConsoleState{.sent = 100});
  f.start();
  f.print("short");
  f.print("next");
  CHECK(f.backend->output == "next");
}

TEST_CASE("the state of a console keeps the contract") {
  vireo::testing::check_state_contract<ConsoleState>({{}, {.input = {'i', 'n'}, .sent = 5}});
}

}  // namespace vireo::dev
