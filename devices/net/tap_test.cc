#include "devices/net/tap.h"

#include <sys/socket.h>

#include <array>
#include <string>
#include <utility>

#include <catch2/catch.hpp>

#include "vmm/base/fd.h"
#include "vmm/testing/manual_loop.h"

namespace vireo::dev {
namespace {

struct Guest final : NetFrontend {
  void frames_arrived(uint16_t) override { ++arrived; }
  void can_send(uint16_t) override {}
  void link_changed() override { ++changes; }
  int arrived = 0;
  int changes = 0;
};

// A pair of sockets in place of something and the kernel behind it.
struct Pair {
  Pair() {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) ==
            0);
    ours = UniqueFd(ends[0]);
    kernel = UniqueFd(ends[1]);
  }
  void tell() const { REQUIRE(::send(kernel.get(), "news", 4, 0) == 4); }
  UniqueFd ours;
  UniqueFd kernel;
};

struct Tap {
  TapDevice device() {
    REQUIRE(::send(queue.ours.get(), "frame", 5, 0) == 5);
    TapDevice tap{.name = "tap0", .queues = {}};
    tap.queues.push_back(std::move(queue.ours));
    tap.changes = std::move(interfaces.ours);
    return tap;
  }
  // One end that closes with something unread is an error on the other, as an interface that goes
  // is on its queues.
  void remove() { queue.kernel.reset(); }

  Pair queue;
  Pair interfaces;
  testing::ManualLoop turns;
  Guest guest;
  TapNet net{"net0", device(), Vhost::off};
};

TEST_CASE("a TAP whose queue reports an error is a link that is down", "[net]") {
  Tap tap;
  tap.net.open(tap.turns.loop(), tap.guest);
  tap.turns.settle();
  CHECK(tap.net.link_up());

  tap.remove();
  tap.turns.settle();
  CHECK_FALSE(tap.net.link_up());
  CHECK(tap.guest.changes == 1);
  CHECK(tap.guest.arrived <= 1);
  tap.net.close();
}

TEST_CASE("a TAP that goes while vhost-net carries it is a link that is down", "[net]") {
  Tap tap;
  tap.net.open(tap.turns.loop(), tap.guest);
  tap.net.set_lent(0, true);
  tap.interfaces.tell();
  tap.turns.settle();
  CHECK(tap.net.link_up());

  SECTION("while the machine runs") {
    tap.remove();
    tap.interfaces.tell();
    tap.turns.settle();
  }
  SECTION("while it is paused") {
    tap.net.close();
    tap.remove();
    tap.interfaces.tell();
    tap.turns.settle();
    CHECK(tap.guest.changes == 0);
    tap.net.open(tap.turns.loop(), tap.guest);
    tap.turns.settle();
  }
  CHECK_FALSE(tap.net.link_up());
  CHECK(tap.guest.changes == 1);
  tap.net.close();
}

TEST_CASE("a TAP's queues that are lent are not watched", "[net]") {
  Tap tap;
  tap.net.open(tap.turns.loop(), tap.guest);
  tap.turns.settle();
  tap.net.set_lent(0, true);
  const int arrived = tap.guest.arrived;
  tap.queue.tell();
  tap.turns.settle();
  CHECK(tap.guest.arrived == arrived);
  tap.net.set_lent(0, false);
  tap.turns.settle();
  CHECK(tap.guest.arrived == arrived + 1);
  tap.net.close();
}

}  // namespace
}  // namespace vireo::dev
