#include "devices/chardev/pty.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>

#include <array>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

constexpr std::chrono::milliseconds kLookInterval{250};

UniqueFd open_master() {
  UniqueFd master{::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)};
  if (!master || ::grantpt(master.get()) != 0 || ::unlockpt(master.get()) != 0)
    throw_errno("cannot make a pseudo-terminal");
  return master;
}

std::string slave_name(const UniqueFd& master) {
  std::array<char, 64> name{};
  const int error = ::ptsname_r(master.get(), name.data(), name.size());
  if (error != 0) throw_errno("cannot name the pseudo-terminal", error);
  return name.data();
}

// Raw, or the echo would feed the guest's output back to it. Opening and closing the slave once
// also makes the master tell from now on when nobody has it open.
void make_raw(const std::string& path) {
  const UniqueFd slave{::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC)};
  termios mode{};
  if (!slave || ::tcgetattr(slave.get(), &mode) != 0)
    throw_errno(fmt::format("cannot open the pseudo-terminal {}", path));
  ::cfmakeraw(&mode);
  if (::tcsetattr(slave.get(), TCSANOW, &mode) != 0)
    throw_errno(fmt::format("cannot set up the pseudo-terminal {}", path));
}

bool is_open_elsewhere(const UniqueFd& master) {
  pollfd query{.fd = master.get(), .events = 0, .revents = 0};
  ::poll(&query, 1, 0);
  return (query.revents & POLLHUP) == 0;
}

}  // namespace

PtyBackend::PtyBackend()
    : PeerBackend(InputEnd::peer_is_gone), master_(open_master()), path_(slave_name(master_)) {
  make_raw(path_);
}

void PtyBackend::look_for_peers(EventLoop& loop) {
  if (connected()) return;
  if (is_open_elsewhere(master_)) {
    UniqueFd fd{::fcntl(master_.get(), F_DUPFD_CLOEXEC, 0)};
    if (fd && connect(std::move(fd))) return;
  }
  timer_ = loop.after(kLookInterval, [this, &loop] { look_for_peers(loop); });
}

void PtyBackend::stop_looking() {
  timer_.reset();
}

}  // namespace vireo::dev
