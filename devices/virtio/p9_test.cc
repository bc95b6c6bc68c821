#include "devices/virtio/p9.h"

#include <catch2/catch.hpp>

#include "devices/p9/testing/client.h"
#include "devices/testing/guest_driver.h"
#include "devices/virtio/mmio.h"

namespace vireo::dev {
namespace {

struct Fixture {
  Fixture() {
    transport.start();
    driver.start(1, {P9::kQueueSize});
  }
  ~Fixture() { block_on(machine.loop, transport.stop()); }

  // One message and its reply's type.
  template <class T>
  uint8_t send(const T& message) {
    GuestQueue& queue = driver.queue(0);
    const auto room = queue.writable(8192);
    queue.submit({queue.readable(p9::encode(T::kType, ++tag, message)), room});
    driver.kick(0);
    std::optional<UsedElement> used;
    while (!(used = queue.take_used())) machine.loop.step(std::chrono::seconds(1));
    reply = queue.contents(room);
    reply.resize(used->length);
    return static_cast<uint8_t>(reply.at(4));
  }
  void mount() {
    CHECK(send(p9::Tversion{8192, p9::kProtocol}) == p9::Tversion::kType + 1);
    CHECK(send(p9::Tattach{.fid = 0}) == p9::Tattach::kType + 1);
  }
  std::string saving() {
    StateWriter writer;
    try {
      device->save(writer);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  }

  p9::ShareDirectory share;
  FakeMachine machine;
  P9* device = nullptr;  // the transport's
  MmioTransport transport{"share", machine.env, make()};
  GuestDriver driver{machine};
  uint16_t tag = 0;
  std::vector<std::byte> reply;

 private:
  std::unique_ptr<P9> make() {
    auto made = std::make_unique<P9>("share", machine.virtio_env(),
                                     P9Config{"src", {.directory = share.path()}});
    device = made.get();
    return made;
  }
};

}  // namespace

TEST_CASE("a 9p device tells its tag") {
  Fixture f;
  CHECK(f.driver.read(mmio::kDeviceId) == 9);
  CHECK(f.driver.read_config<le16>(0) == 3);
  CHECK(f.driver.read_config<uint8_t>(2) == 's');
  CHECK(f.driver.read_config<uint8_t>(4) == 'c');
}

TEST_CASE("a 9p device serves its share") {
  Fixture f;
  f.mount();
  CHECK(f.send(p9::Tgetattr{0, 0xfff}) == p9::Tgetattr::kType + 1);
  CHECK(f.reply.size() == p9::kHeaderSize + 153);
  CHECK(f.send(p9::Tclunk{7}) == p9::Rlerror::kType);
}

TEST_CASE("a 9p request without header or room goes back") {
  Fixture f;
  GuestQueue& queue = f.driver.queue(0);
  queue.submit({queue.readable("short"), queue.writable(100)});
  queue.submit({queue.readable(p9::encode(p9::Tversion::kType, 1, p9::Tversion{8192, ""}))});
  f.driver.kick(0);
  for (int i = 0; i < 2; ++i) {
    const auto used = queue.take_used();
    REQUIRE(used);
    CHECK(used->length == 0);
  }
}

TEST_CASE("a mounted share is not saved, one that is not is") {
  Fixture f;
  CHECK(f.saving().empty());
  f.mount();
  CHECK(f.saving() ==
        "the share 'src' is mounted in the guest, and what is mounted cannot be saved: unmount it "
        "there first");
  CHECK(f.send(p9::Tclunk{0}) == p9::Tclunk::kType + 1);
  CHECK(f.saving().empty());
}

TEST_CASE("a reset of the 9p device ends the session") {
  Fixture f;
  f.mount();
  f.driver.reset();
  CHECK(f.saving().empty());
  f.driver.start(1, {P9::kQueueSize});
  CHECK(f.send(p9::Tgetattr{0, 0xfff}) == p9::Rlerror::kType);
}

TEST_CASE("a 9p device stops with requests under way, and goes on") {
  Fixture f;
  f.mount();
  GuestQueue& queue = f.driver.queue(0);
  for (uint16_t i = 0; i < 20; ++i) {
    const std::string name = "d" + std::to_string(i);
    queue.submit({queue.readable(p9::encode(p9::Tmkdir::kType, static_cast<uint16_t>(100 + i),
                                            p9::Tmkdir{0, name, 0755, 0})),
                  queue.writable(100)});
  }
  f.driver.kick(0);
  block_on(f.machine.loop, f.transport.stop());
  for (int i = 0; i < 20; ++i) CHECK(queue.take_used());
  f.transport.start();
  f.machine.settle();
  CHECK(f.send(p9::Tgetattr{0, 0xfff}) == p9::Tgetattr::kType + 1);
}

// Stands for a vCPU beside a loop with a thread.
TEST_CASE("a vCPU is answered by itself, or by the share's loop where it would have to wait") {
  const p9::ShareDirectory share;
  FakeMachine machine;
  LoopThread home("home");
  DeviceEnv env{machine.platform, home.loop()};
  const P9Config config{"src", {.directory = share.path(), .own_loop = true}};
  MmioTransport transport{
      "share", env,
      std::make_unique<P9>("share", VirtioEnv{env.loop, env.platform.pool, env.platform.log},
                           config)};
  call(home.loop(), [&] { transport.start(); });
  GuestDriver driver{machine};
  driver.start(1, {P9::kQueueSize});
  GuestQueue& queue = driver.queue(0);
  uint16_t tag = 0;
  bool at_once = false;
  const auto send = [&]<class T>(const T& message) {
    const auto room = queue.writable(1024);
    queue.submit({queue.readable(p9::encode(T::kType, ++tag, message)), room});
    driver.write(mmio::kQueueNotify, 0);
    std::optional<UsedElement> used = queue.take_used();
    at_once = used.has_value();
    while (!used) used = queue.take_used();
    return static_cast<uint8_t>(queue.contents(room).at(4));
  };
  CHECK(send(p9::Tversion{8192, p9::kProtocol}) == p9::Tversion::kType + 1);
  CHECK(send(p9::Tattach{.fid = 0}) == p9::Tattach::kType + 1);
  for (at_once = false; !at_once;) REQUIRE(send(p9::Tgetattr{0, 0xfff}) == p9::Tgetattr::kType + 1);
  for (int i = 0; i < 100; ++i) {
    const std::string name = "d" + std::to_string(i);
    REQUIRE(send(p9::Tmkdir{0, name, 0755, 0}) == p9::Tmkdir::kType + 1);
    REQUIRE(send(p9::Tgetattr{0, 0xfff}) == p9::Tgetattr::kType + 1);
  }
  CHECK_FALSE(machine.doorbells.ring(driver.base() + mmio::kQueueNotify, 0));
  call(home.loop(), transport.stop());
}

TEST_CASE("a share's tag has 1 to 31 bytes") {
  FakeMachine machine;
  const p9::ShareDirectory share;
  for (const size_t length : {0, 32})
    CHECK_THROWS_AS(P9("share", machine.virtio_env(),
                       P9Config{std::string(length, 't'), {.directory = share.path()}}),
                    ConfigError);
}

}  // namespace vireo::dev
