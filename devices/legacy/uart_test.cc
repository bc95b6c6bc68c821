#include "devices/legacy/uart.h"

#include <functional>
#include <string>
#include <thread>

#include <catch2/catch.hpp>

#include "devices/testing/fake_env.h"
#include "vmm/testing/state_contract.h"

using namespace vireo;
using namespace vireo::dev;
using vireo::dev::testing::FakeEnv;
using vireo::dev::testing::state_of;
using Chip = Uart16550;

namespace {

constexpr uint64_t kPort = layout::kPortCom1;
constexpr uint64_t kData = kPort, kIer = kPort + 1, kIir = kPort + 2, kFcr = kPort + 2,
                   kLcr = kPort + 3, kMcr = kPort + 4, kLsr = kPort + 5, kMsr = kPort + 6;

// What the host's side of the port saw, and a sink that takes `room` bytes more.
struct Host {
  std::string output;
  size_t room = SIZE_MAX;
  bool open = false;
  bool readable = false;
  int writes = 0;
  CharFrontend* frontend = nullptr;

  void type(std::string_view text) {
    REQUIRE(readable);
    frontend->receive(bytes_of_text(text));
  }
  void make_room(size_t bytes) {
    room += bytes;
    frontend->writable();
  }
};

class HostBackend final : public CharBackend {
 public:
  explicit HostBackend(Host& host) : host_(host) {}
  void open(EventLoop&, CharFrontend& frontend) override {
    host_.open = true;
    host_.frontend = &frontend;
  }
  void close() override { host_.open = host_.readable = false; }
  size_t write(std::span<const std::byte> bytes) override {
    ++host_.writes;
    const size_t taken = std::min(bytes.size(), host_.room);
    for (const std::byte byte : bytes.first(taken)) host_.output += static_cast<char>(byte);
    if (host_.room != SIZE_MAX) host_.room -= taken;
    return taken;
  }
  void set_readable(bool readable) override { host_.readable = readable; }

 private:
  Host& host_;
};

struct Fixture : FakeEnv {
  Host host;
  Uart uart;

  explicit Fixture(Uart::State state = {})
      : uart("com1", env, std::make_unique<HostBackend>(host), std::move(state)) {}
  void start() {
    uart.start();
    turns.settle();
  }
  void stop() { turns.run(uart.stop()); }
  uint64_t edges() { return lines.take(layout::kGsiCom1); }
  void send(std::string_view text) {
    for (const char c : text) out(kData, static_cast<uint8_t>(c));
  }
  bool holding_empty() { return in(kLsr)&Chip::kLsrHoldingEmpty; }
};

// The way Linux' 8250 driver treats the port: looks for it, opens it, and serves interrupts as a
// handler of an edge-triggered line must: until the chip has none.
class Driver {
 public:
  explicit Driver(Fixture& machine) : m_(machine) {}

  // autoconfig(): the interrupt enable register, the loopback and the FIFO tell a 16550A.
  bool finds_16550a() {
    const uint8_t ier = m_.in(kIer);
    m_.out(kIer, 0);
    const uint8_t none = m_.in(kIer)&0x0f;
    m_.out(kIer, 0x0f);
    const uint8_t all = m_.in(kIer)&0x0f;
    m_.out(kIer, ier);
    if (none != 0 || all != 0x0f) return false;
    const uint8_t mcr = m_.in(kMcr);
    m_.out(kMcr, Chip::kMcrLoop | Chip::kMcrOut2 | Chip::kMcrRts);
    const uint8_t loop = m_.in(kMsr)&0xf0;
    m_.out(kMcr, mcr);
    if (loop != (Chip::kMsrCarrier | Chip::kMsrCts)) return false;
    m_.out(kLcr, 0);
    m_.out(kFcr, Chip::kFcrEnable);
    return m_.in(kIir) >> 6 == 3 && !has_features_of_others();
  }

  // Enhanced register 2 (16650), bit 5 of IIR (16750), bit 6 of IER (XScale).
  bool has_features_of_others() {
    m_.out(kLcr, 0x80);
    bool other = m_.in(kFcr) == 0;
    m_.out(kLcr, 0xbf);
    other |= m_.in(kFcr) == 0;
    m_.out(kLcr, 0);
    m_.out(kFcr, Chip::kFcrEnable | 0x20);
    other |= (m_.in(kIir)&0x20) != 0;
    m_.out(kFcr, Chip::kFcrEnable);
    m_.out(kIer, 0x40);
    other |= (m_.in(kIer)&0x40) != 0;
    m_.out(kIer, 0);
    return other;
  }

  // serial8250_do_startup() without what only concerns broken chips; says whether it found the
  // transmitter's interrupt broken.
  bool startup() {
    m_.out(kFcr, Chip::kFcrEnable);
    m_.out(kFcr, 0x07);
    m_.out(kFcr, 0);
    for (const uint64_t reg : {kLsr, kData, kIir, kMsr}) m_.in(reg);
    m_.out(kLcr, 0x03);
    m_.out(kIer, Chip::kIerTransmit);
    const uint8_t first = m_.in(kIir);
    m_.out(kIer, 0);
    m_.out(kIer, Chip::kIerTransmit);
    const uint8_t second = m_.in(kIir);
    m_.out(kIer, 0);
    const bool broken = (first & Chip::kIirNone) == 0 && (second & Chip::kIirNone) != 0;
    m_.out(kMcr, Chip::kMcrOut2);
    m_.out(kIer, Chip::kIerTransmit);
    const bool idle = m_.in(kLsr)&Chip::kLsrTransmitterEmpty;
    const bool silent = m_.in(kIir)&Chip::kIirNone;
    m_.out(kIer, 0);
    for (const uint64_t reg : {kLsr, kData, kIir, kMsr}) m_.in(reg);
    ier_ = Chip::kIerReceive | Chip::kIerLine;
    m_.out(kIer, ier_);
    m_.out(kFcr, Chip::kFcrEnable);
    m_.out(kFcr, Chip::kFcrEnable | 0x80);
    m_.out(kMcr, Chip::kMcrOut2 | Chip::kMcrDtr | Chip::kMcrRts);
    return broken || (idle && silent);
  }

  void write(std::string_view text) {
    queue_ += text;
    if (ier_ & Chip::kIerTransmit) return;
    ier_ |= Chip::kIerTransmit;
    m_.out(kIer, ier_);
  }

  // Runs the handler for the edges that have come; false when there were none.
  bool interrupt() {
    if (m_.edges() == 0) return false;
    while ((m_.in(kIir)&Chip::kIirNone) == 0) serve();
    return true;
  }
  // Host and guest work until neither has anything to do.
  void run() {
    do {
      m_.turns.settle();
    } while (interrupt());
  }

  std::string received;
  int breaks = 0;
  bool all_sent() const { return queue_.empty(); }

 private:
  void serve() {
    uint8_t lsr = m_.in(kLsr);
    while (lsr & (Chip::kLsrData | Chip::kLsrBreak)) {
      const char c = static_cast<char>(m_.in(kData));
      if (lsr & Chip::kLsrBreak)
        ++breaks;
      else
        received += c;
      lsr = m_.in(kLsr);
    }
    m_.in(kMsr);
    if ((lsr & Chip::kLsrHoldingEmpty) && (ier_ & Chip::kIerTransmit)) transmit();
  }
  void transmit() {
    for (int i = 0; i < 16 && !queue_.empty(); ++i) {
      m_.out(kData, static_cast<uint8_t>(queue_.front()));
      queue_.erase(0, 1);
    }
    if (!queue_.empty()) return;
    ier_ &= ~Chip::kIerTransmit & 0xff;
    m_.out(kIer, ier_);
  }

  Fixture& m_;
  uint8_t ier_ = 0;
  std::string queue_;
};

Task<void> stop_and_tell(Uart& uart, bool& stopped) {
  co_await uart.stop();
  stopped = true;
}

std::string some_text(size_t size) {
  std::string text;
  while (text.size() < size) text += "line " + std::to_string(text.size()) + "\r\n";
  return text.substr(0, size);
}

}  // namespace

TEST_CASE("a serial port keeps the state contract") {
  Uart::State busy;
  busy.chip.fifos = true;
  busy.chip.receive = {'a', 0x1000};
  busy.output = {'o', 'u', 't'};
  busy.input = {'i', 'n'};
  vireo::testing::check_state_contract<Uart::State>({{}, busy});

  Fixture machine(busy);
  REQUIRE(state_of(machine.uart) == busy);
  machine.uart.reset();
  REQUIRE(state_of(machine.uart) == Uart::State{});
}

TEST_CASE("a serial port refuses a state that holds more than it can") {
  Uart::State state;
  SECTION("input") {
    state.input.resize(CharFrontend::kMaxReceive + 1);
  }
  SECTION("output") {
    state.output.resize(2 * Uart::kOutputLimit + 1);
  }
  SECTION("the chip") {
    state.chip.receive.resize(99);
  }
  REQUIRE_THROWS_AS(Fixture(state), StateError);
}

TEST_CASE("a serial port is where the platform's tables say") {
  Fixture machine;
  REQUIRE(machine.platform.acpi.devices().size() == 1);
  REQUIRE(machine.platform.acpi.devices()[0].hid == "PNP0501");
  REQUIRE(machine.platform.acpi.devices()[0].address == 0x3f8);
  REQUIRE(machine.platform.acpi.devices()[0].length == 8);
  REQUIRE(machine.platform.acpi.devices()[0].gsi == 4);
  REQUIRE_THROWS_AS(Uart("com1", machine.env, std::make_unique<HostBackend>(machine.host)),
                    ConfigError);
}

TEST_CASE("Linux' driver finds the port, and none where there is none") {
  Fixture machine;
  machine.start();
  Driver driver(machine);
  REQUIRE(driver.finds_16550a());
  REQUIRE_FALSE(driver.startup());

  // COM2: all ones say that there is no port, and to early printing that it need not wait.
  REQUIRE(machine.in(0x2f8 + 1) == 0xff);
  REQUIRE((machine.in(0x2f8 + 5) & 0x60) == 0x60);
}

TEST_CASE("Linux' driver sends and receives by interrupts") {
  Fixture machine;
  machine.start();
  Driver driver(machine);
  driver.startup();
  const std::string text = some_text(20'000);

  driver.write(text);
  driver.run();
  REQUIRE(machine.host.output == text);

  for (size_t at = 0; at < text.size(); at += 1000) {
    machine.host.type(text.substr(at, 1000));
    driver.run();
  }
  REQUIRE(driver.received == text);
}

TEST_CASE("Linux' driver gets everything out through a slow sink") {
  Fixture machine;
  machine.start();
  machine.host.room = 0;
  Driver driver(machine);
  driver.startup();
  const std::string text = some_text(30'000);

  driver.write(text);
  driver.run();
  REQUIRE_FALSE(driver.all_sent());
  while (machine.host.output.size() < text.size()) {
    machine.host.make_room(777);
    driver.run();
  }
  REQUIRE(machine.host.output == text);
}

TEST_CASE("a byte that comes while the handler still runs makes an edge of its own") {
  Fixture machine;
  machine.start();
  Driver driver(machine);
  driver.startup();
  machine.host.type("a");
  REQUIRE(machine.edges() != 0);
  REQUIRE((machine.in(kIir)&0x0f) == Chip::kIirTimeout);
  REQUIRE(machine.in(kData) == 'a');

  SECTION("after the chip was found idle") {
    REQUIRE((machine.in(kIir)&Chip::kIirNone) != 0);
    machine.host.type("b");
  }
  SECTION("before") {
    machine.host.type("b");
  }
  SECTION("also when the handler left something behind") {
    machine.host.type("b");
    machine.edges();
    machine.host.type("c");
  }
  REQUIRE(machine.edges() != 0);
  REQUIRE(machine.in(kData) == 'b');
}

TEST_CASE("an interrupt that is enabled late is sent late") {
  Fixture machine;
  machine.start();
  machine.out(kMcr, Chip::kMcrRts);
  machine.host.type("a");
  REQUIRE(machine.edges() == 0);
  machine.out(kIer, Chip::kIerReceive);
  REQUIRE(machine.edges() == 1);
}

TEST_CASE("output is handed over in batches") {
  Fixture machine;
  machine.start();
  machine.host.writes = 0;
  machine.send("hello, world");
  REQUIRE(machine.host.output.empty());  // the vCPU does no I/O
  machine.turns.settle();
  REQUIRE(machine.host.output == "hello, world");
  REQUIRE(machine.host.writes == 1);
}

TEST_CASE("a sink that takes nothing stops the guest and not the vCPU") {
  Fixture machine;
  machine.start();
  machine.host.room = 0;
  machine.out(kFcr, Chip::kFcrEnable);
  size_t sent = 0;
  while (machine.holding_empty()) {
    machine.send("x");
    machine.turns.settle();
    ++sent;
    REQUIRE(sent <= 3 * Uart::kOutputLimit);
  }
  REQUIRE(sent > Uart::kOutputLimit);
  machine.out(kIer, Chip::kIerTransmit);
  REQUIRE(machine.edges() == 0);

  machine.host.make_room(2 * sent);
  machine.turns.settle();
  REQUIRE(machine.holding_empty());
  REQUIRE(machine.edges() != 0);
  REQUIRE(machine.host.output == std::string(sent, 'x'));
}

TEST_CASE("input waits outside until the guest listens, and survives its FIFO reset") {
  Fixture machine;
  machine.start();
  machine.host.type("echo typed early\n");
  REQUIRE_FALSE(machine.host.readable);  // bounded
  Driver driver(machine);
  REQUIRE(driver.finds_16550a());
  driver.startup();
  driver.run();
  REQUIRE(driver.received == "echo typed early\n");
  REQUIRE(machine.host.readable);
}

TEST_CASE("a guest that polls, and sets up nothing, gets its input") {
  Fixture machine;
  machine.start();
  machine.host.type("abc");
  std::string got;
  for (int i = 0; i < 20; ++i) {
    if (machine.in(kLsr)&Chip::kLsrData) got += static_cast<char>(machine.in(kData));
    machine.turns.settle();
  }
  REQUIRE(got == "abc");
}

TEST_CASE("a guest that polls between its own output gets its input") {
  Fixture machine;
  machine.start();
  machine.host.type("q");
  bool got = false;
  for (int i = 0; i < 20 && !got; ++i) {
    got = (machine.in(kLsr)&Chip::kLsrData) != 0;
    while ((machine.in(kLsr)&Chip::kLsrHoldingEmpty) == 0) machine.turns.settle();
    machine.out(kData, '.');
    machine.turns.settle();
  }
  REQUIRE(got);
}

TEST_CASE("a guest that only writes does not listen") {
  Fixture machine;
  machine.start();
  machine.host.type("typed early");
  for (int i = 0; i < 100; ++i) {
    while ((machine.in(kLsr)&Chip::kLsrHoldingEmpty) == 0) machine.turns.settle();
    machine.out(kData, '.');
    machine.turns.settle();
  }
  REQUIRE((machine.in(kLsr)&Chip::kLsrData) == 0);
}

TEST_CASE("more input than the FIFO holds comes a FIFO at a time") {
  Fixture machine;
  machine.start();
  machine.out(kFcr, Chip::kFcrEnable);
  machine.out(kMcr, Chip::kMcrRts);
  machine.host.type(some_text(20));
  std::string got;
  while (machine.in(kLsr)&Chip::kLsrData) got += static_cast<char>(machine.in(kData));
  REQUIRE(got == some_text(16));
  REQUIRE_FALSE(machine.host.readable);
  machine.turns.settle();
  REQUIRE(machine.host.readable);
  while (machine.in(kLsr)&Chip::kLsrData) got += static_cast<char>(machine.in(kData));
  REQUIRE(got == some_text(20));
}

TEST_CASE("loopback tests do not eat input") {
  Fixture machine;
  machine.start();
  machine.out(kMcr, Chip::kMcrRts | Chip::kMcrLoop);
  machine.host.type("a");
  REQUIRE((machine.in(kLsr)&Chip::kLsrData) == 0);
  machine.out(kMcr, Chip::kMcrRts);
  machine.turns.settle();
  REQUIRE(machine.in(kData) == 'a');
}

TEST_CASE("a break reaches the driver") {
  Fixture machine;
  machine.start();
  Driver driver(machine);
  machine.host.frontend->receive_break();  // nobody listens yet: gone
  driver.startup();
  driver.run();
  machine.host.frontend->receive_break();
  machine.host.type("h");
  driver.run();
  REQUIRE(driver.breaks == 1);
  REQUIRE(driver.received == "h");
}

TEST_CASE("stopping delivers what was sent, and gives up on a sink that is stuck") {
  Fixture machine;
  machine.start();
  machine.send("the last words");
  SECTION("a good sink") {
    machine.stop();
    REQUIRE(machine.host.output == "the last words");
    REQUIRE(state_of(machine.uart).output.empty());
  }
  SECTION("a stuck sink") {
    machine.host.room = 4;
    bool stopped = false;
    Scope scope;
    scope.spawn(stop_and_tell(machine.uart, stopped));
    machine.turns.settle();
    REQUIRE_FALSE(stopped);
    machine.turns.advance(std::chrono::seconds(1));
    REQUIRE(stopped);
    REQUIRE(machine.host.output == "the ");
    const auto rest = state_of(machine.uart).output;
    REQUIRE(std::string(rest.begin(), rest.end()) == "last words");
  }
  REQUIRE_FALSE(machine.host.open);
  machine.stop();  // idempotent
}

TEST_CASE("a port that is started again goes on") {
  Fixture machine;
  machine.start();
  Driver driver(machine);
  driver.startup();
  machine.stop();
  driver.write("sent while stopped");
  REQUIRE(machine.host.output.empty());
  machine.start();
  driver.run();
  REQUIRE(machine.host.output == "sent while stopped");
  machine.host.type("x");
  driver.run();
  REQUIRE(driver.received == "x");
}

TEST_CASE("a restored port sends the edge and the bytes that its guest waits for") {
  Uart::State saved;
  {
    Fixture machine;
    machine.start();
    Driver driver(machine);
    driver.startup();
    machine.stop();
    machine.out(kIer, Chip::kIerTransmit);  // due, and its edge died with the machine
    saved = state_of(machine.uart);
    saved.output = {'o', 'k'};
  }
  Fixture machine(saved);
  machine.start();
  REQUIRE(machine.edges() == 1);
  REQUIRE((machine.in(kIir)&0x0f) == Chip::kIirTransmit);
  REQUIRE(machine.host.output == "ok");
}

TEST_CASE("wide accesses are bytes at consecutive registers") {
  Fixture machine;
  machine.start();
  const le16 both = uint16_t{0x0f} << 8 | 'w';
  machine.pio.write(kData, bytes_of(both));
  machine.turns.settle();
  REQUIRE(machine.host.output == "w");
  REQUIRE(machine.in(kIer) == 0x0f);
}

TEST_CASE("a vCPU sends and receives while the loop moves the bytes") {
  Fixture machine;
  machine.start();
  machine.host.room = 0;
  const std::string text = some_text(20'000);
  std::string echoed;
  std::thread vcpu([&] {
    machine.out(kFcr, Chip::kFcrEnable);
    machine.out(kMcr, Chip::kMcrRts);
    for (const char c : text) {
      while (!machine.holding_empty()) std::this_thread::yield();
      machine.out(kData, static_cast<uint8_t>(c));
    }
    while (echoed.size() < text.size()) {
      while (!(machine.in(kLsr)&Chip::kLsrData)) std::this_thread::yield();
      echoed += static_cast<char>(machine.in(kData));
    }
  });
  size_t typed = 0;
  while (machine.host.output.size() < text.size() || typed < text.size()) {
    machine.turns.loop().step(std::chrono::milliseconds(1));
    if (machine.host.room == 0) machine.host.make_room(1000);
    if (!machine.host.readable || typed == text.size()) continue;
    const std::string chunk = text.substr(typed, 700);
    typed += chunk.size();
    machine.host.type(chunk);
  }
  while (state_of(machine.uart).input.size() + state_of(machine.uart).chip.receive.size() != 0)
    machine.turns.loop().step(std::chrono::milliseconds(1));
  vcpu.join();
  REQUIRE(machine.host.output == text);
  REQUIRE(echoed == text);
}
