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

// A pair of sockets in place of the TAP and the kernel: one end that closes with something
// unread is an error on the other, as an interface that goes is on its queues.
TEST_CASE("a TAP whose queue reports an error is a link that is down", "[net]") {
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
  UniqueFd kernel(ends[1]);
  TapDevice tap{.name = "tap0", .queues = {}};
  tap.queues.emplace_back(ends[0]);
  testing::ManualLoop turns;
  Guest guest;
  TapNet net("net0", std::move(tap), Vhost::off);
  net.open(turns.loop(), guest);
  turns.settle();
  CHECK(net.link_up());

  const std::string frame(60, 'f');
  REQUIRE(::send(ends[0], frame.data(), frame.size(), 0) == 60);
  kernel.reset();
  turns.settle();
  CHECK_FALSE(net.link_up());
  CHECK(guest.changes == 1);
  CHECK(guest.arrived <= 1);
  net.close();
}

}  // namespace
}  // namespace vireo::dev
