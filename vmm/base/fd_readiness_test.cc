#include "vmm/base/fd_readiness.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>

#include <catch2/catch.hpp>

#include "vmm/testing/manual_loop.h"

using namespace vireo;
using testing::ManualLoop;

namespace {

using Ends = std::array<UniqueFd, 2>;

Ends socket_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw_errno("cannot make a pair of sockets");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

void fill(int fd) {
  const std::array<char, 4096> bytes{};
  while (::write(fd, bytes.data(), bytes.size()) > 0) {
  }
}

void empty(int fd) {
  std::array<char, 4096> bytes;
  while (::read(fd, bytes.data(), bytes.size()) > 0) {
  }
}

using Owned = std::unique_ptr<FdReadiness>;

Task<void> note_readable(FdReadiness& ready, std::string& order) {
  co_await ready.readable();
  order += 'r';
}

Task<void> note_writable(FdReadiness& ready, std::string& order) {
  co_await ready.writable();
  order += 'w';
}

Task<void> destroy_when_readable(Owned& ready, std::string& order) {
  co_await ready->readable();
  ready.reset();
  order += 'R';
}

Task<void> destroy_when_writable(Owned& ready, std::string& order) {
  co_await ready->writable();
  ready.reset();
  order += 'W';
}

}  // namespace

TEST_CASE("reader and writer are told of what they wait for, each time anew") {
  ManualLoop manual;
  const Ends ends = socket_pair();
  FdReadiness ready(manual.loop(), ends[0].get());
  manual.settle();
  fill(ends[0].get());
  std::string order;
  Scope scope;
  scope.spawn(note_readable(ready, order));
  scope.spawn(note_writable(ready, order));
  manual.settle();
  CHECK(order.empty());
  CHECK(::write(ends[1].get(), "x", 1) == 1);
  manual.settle();
  CHECK(order == "r");
  empty(ends[1].get());
  manual.settle();
  CHECK(order == "rw");

  scope.spawn(note_readable(ready, order));
  manual.settle();
  CHECK(order == "rw");
  CHECK(::write(ends[1].get(), "x", 1) == 1);
  manual.settle();
  CHECK(order == "rwr");
  CHECK(scope.running() == 0);
}

TEST_CASE("the end of a descriptor lets both go, and either may destroy what both waited for") {
  ManualLoop manual;
  Ends ends = socket_pair();
  fill(ends[0].get());
  Owned ready = std::make_unique<FdReadiness>(manual.loop(), ends[0].get());
  manual.settle();
  std::string order;
  Scope scope;
  SECTION("the writer") {
    scope.spawn(note_readable(*ready, order));
    scope.spawn(destroy_when_writable(ready, order));
    ends[1].reset();
    manual.settle();
    CHECK(order == "Wr");
  }
  SECTION("the reader") {
    scope.spawn(destroy_when_readable(ready, order));
    scope.spawn(note_writable(*ready, order));
    ends[1].reset();
    manual.settle();
    CHECK(order == "wR");
  }
  CHECK_FALSE(ready);
  CHECK(scope.running() == 0);
}

TEST_CASE("nobody waits: what becomes ready destroys nothing and is not kept") {
  ManualLoop manual;
  Ends ends = socket_pair();
  FdReadiness ready(manual.loop(), ends[0].get());
  manual.settle();
  CHECK(::write(ends[1].get(), "x", 1) == 1);
  manual.settle();
  std::string order;
  Scope scope;
  scope.spawn(note_readable(ready, order));
  manual.settle();
  CHECK(order.empty());  // who waits has met EAGAIN since
  ends[1].reset();
  manual.settle();
  CHECK(order == "r");
}
