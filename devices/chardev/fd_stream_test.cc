#include "devices/chardev/fd_stream.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include <catch2/catch.hpp>

#include "vmm/base/bytes.h"
#include "vmm/testing/manual_loop.h"
#include "vmm/testing/temp_file.h"

using namespace vireo;
using namespace vireo::dev;
using vireo::testing::ManualLoop;

namespace {

struct Pair {
  UniqueFd read;
  UniqueFd write;
};

Pair make_pipe() {
  std::array<int, 2> fds{};
  REQUIRE(::pipe2(fds.data(), O_CLOEXEC) == 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Pair make_socketpair() {
  std::array<int, 2> fds{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) == 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

bool blocking(int fd) {
  return (::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
}

bool sigpipe_pending() {
  sigset_t pending{};
  ::sigpending(&pending);
  return ::sigismember(&pending, SIGPIPE) == 1;
}

size_t drain(int fd) {
  std::array<char, 4096> buffer;
  size_t total = 0;
  for (ssize_t n = 0; (n = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0;)
    total += static_cast<size_t>(n);
  return total;
}

struct Input {
  std::string bytes;
  int ends = 0;
  FdReader::Events events() {
    return {.bytes =
                [this](auto got) {
                  for (const std::byte byte : got) bytes += static_cast<char>(byte);
                },
            .ended = [this] { ++ends; }};
  }
};

const std::string kChunk(5000, 'x');

}  // namespace

TEST_CASE("a private descriptor does not block and leaves others as they were") {
  Pair pair = make_pipe();
  const PrivateFd in(pair.read.get(), PrivateFd::Use::read);
  const PrivateFd out(pair.write.get(), PrivateFd::Use::write);
  REQUIRE(blocking(pair.read.get()));
  REQUIRE(blocking(pair.write.get()));
  char byte = 0;
  REQUIRE(::read(in.get(), &byte, 1) == -1);
  REQUIRE(errno == EAGAIN);
  const FdWriter writer(out.get());
  while (writer.write(bytes_of_text(kChunk)).bytes == kChunk.size()) {
  }
  REQUIRE_THROWS_AS(PrivateFd(-1, PrivateFd::Use::read), std::system_error);
}

TEST_CASE("a pipe without a reader is an error and no signal") {
  Pair pair = make_pipe();
  const PrivateFd out(pair.write.get(), PrivateFd::Use::write);
  const FdWriter writer(out.get());
  pair.read.reset();
  REQUIRE(writer.write(bytes_of_text("x")).error == std::errc::broken_pipe);
  REQUIRE_FALSE(sigpipe_pending());
}

TEST_CASE("a pipe whose reader went before is private all the same") {
  Pair pair = make_pipe();
  pair.read.reset();
  {
    const PrivateFd out(pair.write.get(), PrivateFd::Use::write);
    REQUIRE(FdWriter(out.get()).write(bytes_of_text("x")).error == std::errc::broken_pipe);
  }
  REQUIRE(blocking(pair.write.get()));
}

TEST_CASE("a socket that is not ours to change is written without blocking") {
  Pair pair = make_socketpair();
  const PrivateFd out(pair.write.get(), PrivateFd::Use::write);
  REQUIRE(blocking(pair.write.get()));
  ManualLoop turns;
  FdWriter writer(out.get());
  while (writer.write(bytes_of_text(kChunk)).bytes == kChunk.size()) {
  }
  int calls = 0;
  writer.call_when_writable(turns.loop(), [&] { ++calls; });
  turns.settle();
  REQUIRE(calls == 0);
  drain(pair.read.get());
  turns.settle();
  REQUIRE(calls == 1);  // once
  pair.read.reset();
  REQUIRE(writer.write(bytes_of_text("x")).error);
  REQUIRE_FALSE(sigpipe_pending());
}

TEST_CASE("who asks again before a sink takes something is called, and nobody else") {
  Pair pair = make_socketpair();
  const PrivateFd out(pair.write.get(), PrivateFd::Use::write);
  ManualLoop turns;
  FdWriter writer(out.get());
  while (writer.write(bytes_of_text(kChunk)).bytes == kChunk.size()) {
  }
  int first = 0, second = 0;
  writer.call_when_writable(turns.loop(), [&] { ++first; });
  writer.call_when_writable(turns.loop(), [&] { ++second; });
  drain(pair.read.get());
  turns.settle();
  REQUIRE(first == 0);
  REQUIRE(second == 1);
}

TEST_CASE("a reader reads while it is enabled, and ends once") {
  ManualLoop turns;
  Input input;
  for (auto* make : {make_pipe, make_socketpair}) {
    input = {};
    Pair pair = make();
    const PrivateFd in(pair.read.get(), PrivateFd::Use::read);
    FdReader reader(in.get(), input.events());
    REQUIRE(write_all(pair.write.get(), bytes_of_text("one")) == std::error_code());
    turns.settle();
    REQUIRE(input.bytes.empty());
    reader.enable(turns.loop());
    turns.settle();
    REQUIRE(input.bytes == "one");
    reader.disable();
    REQUIRE(write_all(pair.write.get(), bytes_of_text("two")) == std::error_code());
    pair.write.reset();
    turns.settle();  // in hang-up now, and nothing spins
    REQUIRE(input.bytes == "one");
    reader.enable(turns.loop());
    turns.settle();
    REQUIRE(input.bytes == "onetwo");
    REQUIRE(input.ends == 1);
    reader.enable(turns.loop());
    turns.settle();
    REQUIRE(input.ends == 1);
  }
}

TEST_CASE("files and devices that epoll refuses are read a chunk per turn") {
  ManualLoop turns;
  Input input;
  const vireo::testing::TempFile file(std::string(10'000, 'x'));
  const UniqueFd fd = file.open();
  FdReader reader(fd.get(), input.events());
  reader.enable(turns.loop());
  turns.advance(std::chrono::milliseconds(1));
  REQUIRE(input.bytes.size() == 4096);
  reader.disable();
  turns.advance(std::chrono::milliseconds(1));
  REQUIRE(input.bytes.size() == 4096);
  reader.enable(turns.loop());
  for (int i = 0; i < 4; ++i) turns.advance(std::chrono::milliseconds(1));
  REQUIRE(input.bytes.size() == 10'000);
  REQUIRE(input.ends == 1);

  const UniqueFd null{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  FdReader nothing(null.get(), input.events());
  nothing.enable(turns.loop());
  turns.advance(std::chrono::milliseconds(1));
  REQUIRE(input.ends == 2);
}
