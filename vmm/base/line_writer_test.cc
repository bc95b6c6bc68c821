#include "vmm/base/line_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>

#include <catch2/catch.hpp>

#include "vmm/testing/temp_file.h"

using namespace vireo;
using namespace std::chrono_literals;
using Catch::Contains;
using Catch::EndsWith;
using Catch::StartsWith;

namespace {

struct Ends {
  UniqueFd read, write;
};

// The smallest that there is: a page.
Ends make_pipe() {
  std::array<int, 2> fds{};
  REQUIRE(::pipe2(fds.data(), O_CLOEXEC) == 0);
  ::fcntl(fds[1], F_SETPIPE_SZ, 4096);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// What is there to be read now.
std::string take(const UniqueFd& from) {
  std::string all;
  std::array<char, 4096> part{};
  pollfd reader{.fd = from.get(), .events = POLLIN, .revents = 0};
  while (::poll(&reader, 1, 0) == 1 && (reader.revents & POLLIN) != 0) {
    const ssize_t length = ::read(from.get(), part.data(), part.size());
    if (length <= 0) break;
    all.append(part.data(), static_cast<size_t>(length));
  }
  return all;
}

bool waits(int fd) {
  return (::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
}

// More than any channel here keeps; how many were lost.
int fill(LineWriter& writer) {
  int lost = 0;
  for (int i = 0; i < 10'000; ++i) lost += writer.write(std::string(99, '.')) ? 0 : 1;
  return lost;
}

void check_loss(LineWriter& writer, const UniqueFd& reader) {
  const int lost = fill(writer);
  REQUIRE(lost > 0);
  take(reader);
  CHECK(writer.write("more"));
  CHECK_THAT(take(reader),
             Contains("more (" + std::to_string(lost) + " lines before this one are lost)\n"));
  CHECK(writer.write("again"));
  CHECK(take(reader) == "again\n");
}

}  // namespace

TEST_CASE("lines go into a pipe") {
  const Ends pipe = make_pipe();
  LineWriter writer(pipe.write.get());
  CHECK(writer.write("one"));
  CHECK(writer.write(""));
  CHECK(take(pipe.read) == "one\n\n");
}

TEST_CASE("a pipe that nobody reads loses lines, and stays as it is for others") {
  const Ends pipe = make_pipe();
  LineWriter writer(pipe.write.get());
  check_loss(writer, pipe.read);
  CHECK(waits(pipe.write.get()));
}

TEST_CASE("a pipe that cannot be opened again loses lines, too") {
  const Ends pipe = make_pipe();
  REQUIRE(::fchmod(pipe.write.get(), 0) == 0);
  const uid_t user = ::geteuid();
  if (user == 0) REQUIRE(::seteuid(65534) == 0);  // root opens everything
  LineWriter writer(pipe.write.get());
  if (user == 0) REQUIRE(::seteuid(user) == 0);
  check_loss(writer, pipe.read);
}

TEST_CASE("a terminal that nobody reads loses lines, and stays as it is for others") {
  const UniqueFd screen{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
  REQUIRE(::grantpt(screen.get()) == 0);
  REQUIRE(::unlockpt(screen.get()) == 0);
  const UniqueFd terminal{::open(::ptsname(screen.get()), O_RDWR | O_NOCTTY | O_CLOEXEC)};
  REQUIRE(terminal);
  LineWriter writer(terminal.get());
  CHECK(fill(writer) > 0);
  CHECK(waits(terminal.get()));
  while (!take(screen).empty()) {
  }
  CHECK(writer.write("more"));
  CHECK_THAT(take(screen), Contains("lines before this one are lost)\r\n"));
}

TEST_CASE("a terminal of another user's that nobody reads loses lines, too") {
  const UniqueFd screen{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
  REQUIRE(::grantpt(screen.get()) == 0);
  REQUIRE(::unlockpt(screen.get()) == 0);
  const UniqueFd terminal{::open(::ptsname(screen.get()), O_RDWR | O_NOCTTY | O_CLOEXEC)};
  REQUIRE(terminal);
  REQUIRE(::fchmod(terminal.get(), 0) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (::geteuid() == 0 && ::seteuid(65534) != 0) ::_exit(1);  // root opens everything
    ::alarm(20);                                                // ends the process that waits
    LineWriter writer(terminal.get());
    int lost = 0;
    for (int i = 0; i < 1000; ++i) lost += writer.write(std::string(3900, '.')) ? 0 : 1;
    ::_exit(lost > 0 && waits(terminal.get()) ? 0 : 2);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(take(screen).starts_with("...."));
}

TEST_CASE("a socket that nobody reads loses lines, and stays as it is for others") {
  std::array<int, 2> fds{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) == 0);
  const UniqueFd reader(fds[0]), socket(fds[1]);
  LineWriter writer(socket.get());
  CHECK(fill(writer) > 0);
  CHECK(waits(socket.get()));
  while (!take(reader).empty()) {
  }
  CHECK(writer.write("more"));
  CHECK_THAT(take(reader), EndsWith("lines before this one are lost)\n"));
}

TEST_CASE("a reader that is slow can be waited for") {
  const Ends pipe = make_pipe();
  LineWriter writer(pipe.write.get());
  fill(writer);
  std::thread reader([&] { take(pipe.read); });
  CHECK(writer.write("more", 60s));
  reader.join();
}

TEST_CASE("very long lines are cut off") {
  const Ends pipe = make_pipe();
  LineWriter writer(pipe.write.get());
  CHECK(writer.write(std::string(100'000, 'x')));
  CHECK(take(pipe.read) == std::string(LineWriter::kMostLine, 'x') + "\n");
}

TEST_CASE("a file is appended to, also when it was cut off meanwhile") {
  const testing::TempDir dir;
  const std::string path = dir.file("log");
  LineWriter writer(path);
  CHECK(writer.write("one"));
  CHECK(LineWriter(path).write("two"));
  CHECK(testing::read_text(path) == "one\ntwo\n");
  REQUIRE(::truncate(path.c_str(), 0) == 0);
  CHECK(writer.write("three"));
  CHECK(testing::read_text(path) == "three\n");
}

TEST_CASE("a FIFO needs no reader, and keeps what there is room for") {
  const testing::TempDir dir;
  const std::string path = dir.file("fifo");
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  LineWriter writer(path);
  CHECK(writer.write("early"));
  CHECK(fill(writer) > 0);
  const UniqueFd reader{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  CHECK_THAT(take(reader), StartsWith("early\n"));
  CHECK(writer.write("late"));
  CHECK_THAT(take(reader), StartsWith("late (") && EndsWith(" lines before this one are lost)\n"));
}

TEST_CASE("a disk that is full loses lines") {
  LineWriter writer("/dev/full");
  CHECK_FALSE(writer.write("one"));
}
