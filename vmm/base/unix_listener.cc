#include "vmm/base/unix_listener.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <thread>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo {

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path)
    throw ConfigError(fmt::format("the socket path '{}' has {} bytes, {} are possible", path,
                                  path.size(), sizeof address.sun_path - 1));
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

namespace {

UniqueFd make_socket() {
  UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (!fd) throw_errno("cannot create a unix socket");
  return fd;
}

int bind_to(const UniqueFd& socket, const sockaddr_un& address) {
  return ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// Somebody who makes a socket holds it for microseconds; whoever else can read the directory (/tmp)
// can hold it for ever.
void try_to_lock(int directory, std::chrono::milliseconds patience) {
  constexpr std::chrono::milliseconds kPause{10};
  while (::flock(directory, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK && patience >= kPause) {
    std::this_thread::sleep_for(kPause);
    patience -= kPause;
  }
}

// Between finding a socket stale and replacing it nobody else may do the same: whoever makes a
// socket in a directory locks it. Where that is impossible, or takes too long, the race is as small
// as it was.
UniqueFd lock_directory(const std::string& path, std::chrono::milliseconds patience) {
  auto directory = std::filesystem::path(path).parent_path();
  if (directory.empty()) directory = ".";
  UniqueFd fd{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (fd) try_to_lock(fd.get(), patience);
  return fd;
}

// A socket file stays behind when its process is killed; then nobody answers on it.
void remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return;
  if (!S_ISSOCK(status.st_mode))
    throw ConfigError(
        fmt::format("'{}' exists and is no socket: remove it or choose another path", path));
  const UniqueFd probe = make_socket();
  const int answered =
      ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  if (answered == 0 || errno != ECONNREFUSED)
    throw ConfigError(
        fmt::format("another program listens on '{}': stop it or choose another path", path));
  ::unlink(path.c_str());
}

UniqueFd listen_on(const std::string& path, std::chrono::milliseconds patience) {
  const sockaddr_un address = unix_address(path);
  const UniqueFd lock = lock_directory(path, patience);
  UniqueFd listener = make_socket();
  if (bind_to(listener, address) != 0) {
    if (errno != EADDRINUSE) throw_errno(fmt::format("cannot make the socket '{}'", path));
    remove_stale(path, address);
    if (bind_to(listener, address) != 0)
      throw_errno(fmt::format("cannot make the socket '{}'", path));
  }
  if (::listen(listener.get(), SOMAXCONN) != 0) {
    ::unlink(path.c_str());
    throw_errno(fmt::format("cannot listen on '{}'", path));
  }
  return listener;
}

}  // namespace

UnixListener::UnixListener(const std::string& path, std::chrono::milliseconds patience)
    : path_(std::filesystem::absolute(path).string()), socket_(listen_on(path, patience)) {
  struct stat status {};
  if (::lstat(path_.c_str(), &status) != 0) return;
  device_ = status.st_dev;
  inode_ = status.st_ino;
}

UnixListener::~UnixListener() {
  struct stat status {};
  if (::lstat(path_.c_str(), &status) != 0) return;
  if (status.st_dev == device_ && status.st_ino == inode_) ::unlink(path_.c_str());
}

}  // namespace vireo
