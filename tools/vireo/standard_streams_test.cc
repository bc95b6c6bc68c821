#include "tools/vireo/standard_streams.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <system_error>

#include <catch2/catch.hpp>

using namespace vireo::cli;

namespace {

template <class Body>
bool holds_in_child(Body body) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(body() ? 0 : 1);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

TEST_CASE("standard streams that are closed are opened, and no others") {
  for (int closed = 0; closed < 8; ++closed)
    CHECK(holds_in_child([&] {
      for (int fd = 0; fd < 3; ++fd)
        if ((closed & 1 << fd) != 0) ::close(fd);
      open_missing_standard_streams();
      const int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
      return ::fcntl(0, F_GETFD) >= 0 && ::fcntl(1, F_GETFD) >= 0 && ::fcntl(2, F_GETFD) >= 0 &&
             next > 2;
    }));
}

TEST_CASE("output that cannot be written is an error, also when that was noticed early") {
  CHECK(holds_in_child([] {
    ::dup2(::open("/dev/full", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
    std::printf("text");
    try {
      flush_standard_output();
    } catch (const std::system_error& error) {
      return error.code() == std::errc::no_space_on_device;
    }
    return false;
  }));
  CHECK(holds_in_child([] {
    ::dup2(::open("/dev/full", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
    std::printf("text");
    std::fflush(stdout);
    ::dup2(::open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
    try {
      flush_standard_output();
    } catch (const std::system_error&) {
      return true;
    }
    return false;
  }));
}
