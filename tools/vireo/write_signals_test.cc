#include "tools/vireo/write_signals.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include <catch2/catch.hpp>

#include "vmm/base/fd.h"

namespace vireo::cli {
namespace {

// What the body gives, run in a process of its own; -1 when a signal ends it.
template <class Body>
int in_child(Body body) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::signal(SIGPIPE, SIG_IGN);  // as some parents leave it
    turn_write_signals_into_errors();
    ::_exit(body());
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("a write without a reader is an error") {
  CHECK(in_child([] {
          std::array<int, 2> ends{};
          if (::pipe(ends.data()) != 0) return 255;
          ::close(ends[0]);
          return ::write(ends[1], "x", 1) < 0 ? errno : 0;
        }) == EPIPE);
}

TEST_CASE("a write beyond the limit of a file's size is an error") {
  CHECK(in_child([] {
          const rlimit none{};
          const UniqueFd file(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
          if (!file || ::setrlimit(RLIMIT_FSIZE, &none) != 0) return 255;
          return ::write(file.get(), "x", 1) < 0 ? errno : 0;
        }) == EFBIG);
}

TEST_CASE("programs that are started inherit neither signal ignored") {
  CHECK(in_child([] {
          ::execlp("sh", "sh", "-c",
                   "test $(($(sed -n 's/^SigIgn:\t*/0x/p' /proc/self/status) & 0x1001000)) -eq 0",
                   nullptr);
          return 255;
        }) == 0);
}

}  // namespace vireo::cli
