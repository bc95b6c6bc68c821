#include "vmm/base/fd.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <catch2/catch.hpp>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/testing/temp_file.h"

using namespace vireo;

namespace {

static_assert(!std::is_copy_constructible_v<UniqueFd>);
static_assert(std::is_nothrow_move_constructible_v<UniqueFd>);

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

bool is_readable(int fd) {
  pollfd poll{fd, POLLIN, 0};
  return ::poll(&poll, 1, 0) == 1;
}

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("cannot make a pipe");
    out = UniqueFd(ends[0]);
    in = UniqueFd(ends[1]);
  }
  UniqueFd out, in;
};

int interrupting_fd = -1;  // a signal handler has no other way to know

void write_a_byte(int) {
  static_cast<void>(!::write(interrupting_fd, "x", 1));
}

}  // namespace

TEST_CASE("UniqueFd closes what it owns, once") {
  Pipe pipe;
  const int number = pipe.out.get();
  {
    UniqueFd moved = std::move(pipe.out);
    REQUIRE(!pipe.out);
    REQUIRE(moved.get() == number);
    REQUIRE(is_open(number));
  }
  REQUIRE(!is_open(number));
}

TEST_CASE("UniqueFd assignment closes the old descriptor and survives itself") {
  Pipe pipe;
  const int out = pipe.out.get();
  const int in = pipe.in.get();
  pipe.out = std::move(pipe.in);
  REQUIRE(!is_open(out));
  REQUIRE(pipe.out.get() == in);
  UniqueFd& itself = pipe.out;
  pipe.out = std::move(itself);
  REQUIRE(pipe.out.get() == in);
  REQUIRE(is_open(in));
}

TEST_CASE("UniqueFd release gives the descriptor away") {
  Pipe pipe;
  const int number = pipe.out.release();
  REQUIRE(!pipe.out);
  REQUIRE(is_open(number));
  pipe.out.reset(number);
  pipe.out.reset();
  REQUIRE(!is_open(number));
}

TEST_CASE("an eventfd is close-on-exec, does not block, and counts until drained") {
  const UniqueFd event = make_eventfd();
  REQUIRE((::fcntl(event.get(), F_GETFD) & FD_CLOEXEC) != 0);
  drain_eventfd(event.get());  // empty: returns
  REQUIRE(!is_readable(event.get()));
  signal_eventfd(event.get());
  signal_eventfd(event.get());
  REQUIRE(is_readable(event.get()));
  drain_eventfd(event.get());
  REQUIRE(!is_readable(event.get()));
}

TEST_CASE("signalling a full eventfd neither blocks nor loses the signal") {
  const UniqueFd event = make_eventfd();
  const uint64_t full = ~uint64_t{0} - 1;
  REQUIRE(::write(event.get(), &full, sizeof full) == sizeof full);
  signal_eventfd(event.get());
  REQUIRE(is_readable(event.get()));
}

TEST_CASE("read_all and write_all move everything through a pipe smaller than it") {
  Pipe pipe;
  std::vector<std::byte> sent(1 << 20);
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<std::byte>(i * 7 >> 3);
  std::error_code written;
  std::thread writer([&] { written = write_all(pipe.in.get(), sent); });
  std::vector<std::byte> received(sent.size());
  const auto read = read_all(pipe.out.get(), received);
  writer.join();
  REQUIRE(!read);
  REQUIRE(!written);
  REQUIRE(received == sent);
}

TEST_CASE("read_all goes on after a signal and after a short read") {
  Pipe pipe;
  interrupting_fd = pipe.in.get();
  struct sigaction interrupt {};
  interrupt.sa_handler = write_a_byte;  // without SA_RESTART: a blocked read ends with EINTR
  struct sigaction before {};
  REQUIRE(::sigaction(SIGALRM, &interrupt, &before) == 0);
  const itimerval often{{0, 2000}, {0, 2000}};
  REQUIRE(::setitimer(ITIMER_REAL, &often, nullptr) == 0);
  std::array<std::byte, 5> received{};
  const auto error = read_all(pipe.out.get(), received);
  const itimerval never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
  REQUIRE(!error);
  for (const std::byte b : received) REQUIRE(b == std::byte{'x'});
}

TEST_CASE("the end of a file before the end of the span is an I/O error") {
  const testing::TempFile file(std::string_view("abc"));
  std::array<std::byte, 4> into{};
  REQUIRE(read_all(file.open().get(), into) == std::errc::io_error);
  REQUIRE(pread_all(file.open().get(), into, 0) == std::errc::io_error);
  REQUIRE(pread_all(file.open().get(), std::span(into).first(1), 3) == std::errc::io_error);
}

TEST_CASE("nothing to move is success, even at the end") {
  const testing::TempFile file;
  REQUIRE(!read_all(file.open().get(), {}));
  REQUIRE(!pread_all(file.open().get(), {}, 100));
}

TEST_CASE("pread_all and pwrite_all keep to their offset") {
  const testing::TempFile file(std::string_view("0123456789"));
  const UniqueFd fd = file.open();
  REQUIRE(!pwrite_all(fd.get(), bytes_of_text("ab"), 4));
  std::array<std::byte, 4> into{};
  REQUIRE(!pread_all(fd.get(), into, 3));
  REQUIRE(file.read_text() == "0123ab6789");
  REQUIRE(std::string(reinterpret_cast<const char*>(into.data()), 4) == "3ab6");
}

TEST_CASE("the system's errors come back as they are") {
  std::array<std::byte, 1> byte{};
  REQUIRE(read_all(-1, byte) == std::errc::bad_file_descriptor);
  REQUIRE(write_all(-1, byte) == std::errc::bad_file_descriptor);
  const testing::TempFile file;
  REQUIRE(write_all(file.open(O_RDONLY).get(), byte) == std::errc::bad_file_descriptor);
  // Offsets past what off_t holds are refused, not wrapped around to another place in the file.
  REQUIRE(pwrite_all(file.open().get(), byte, ~uint64_t{0}) == std::errc::invalid_argument);
  REQUIRE(pread_all(file.open().get(), byte, uint64_t{1} << 63) == std::errc::invalid_argument);
  REQUIRE(file.read().empty());
}

TEST_CASE("a non-blocking descriptor with nothing to give says so") {
  const UniqueFd event = make_eventfd();
  std::array<std::byte, 8> into{};
  REQUIRE(read_all(event.get(), into) == std::errc::resource_unavailable_try_again);
}
