#include "vmm/base/unix_listener.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/testing/temp_file.h"

using namespace vireo;

namespace {

// What a killed process leaves behind.
void leave_stale_socket(const std::string& path) {
  const UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  const sockaddr_un address = unix_address(path);
  REQUIRE(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
}

}  // namespace

TEST_CASE("a listener takes the place of a stale socket, not that of a live one") {
  const vireo::testing::TempDir dir;
  const std::string path = dir.file("socket");
  leave_stale_socket(path);
  {
    const UnixListener listener(path);
    REQUIRE_THROWS_WITH(UnixListener(path), Catch::Contains("another program listens"));
  }
  REQUIRE(::access(path.c_str(), F_OK) != 0);
}

TEST_CASE("a listener does not wait for ever for who holds the lock of the directory") {
  const vireo::testing::TempDir dir;
  const UniqueFd held{::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  REQUIRE(::flock(held.get(), LOCK_EX) == 0);
  const std::string path = dir.file("socket");
  leave_stale_socket(path);
  const UnixListener listener(path, std::chrono::milliseconds(0));
  REQUIRE(::access(path.c_str(), F_OK) == 0);
}
