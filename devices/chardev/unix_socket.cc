#include "devices/chardev/unix_socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include <fmt/core.h>

#include "vmm/base/bytes.h"

namespace vireo::dev {

namespace {

constexpr std::string_view kBusy = "this console is in use by another client\r\n";
constexpr std::chrono::seconds kAcceptRetry{1};

}  // namespace

UnixSocketBackend::UnixSocketBackend(const std::string& path, Logger log)
    : PeerBackend(InputEnd::peer_may_stay), log_(std::move(log)), listener_(path) {}

void UnixSocketBackend::look_for_peers(EventLoop& loop) {
  if (waiting_) return;
  waiting_ = loop.watch(listener_.fd(), EPOLLIN, [this, &loop](uint32_t) { accept_client(loop); });
}

void UnixSocketBackend::stop_looking() {
  waiting_.reset();
}

void UnixSocketBackend::accept_client(EventLoop& loop) {
  UniqueFd client{::accept4(listener_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
  if (!client) return accept_failed(loop, errno);
  if (connected() && peer_hung_up()) disconnect();
  if (connected())
    FdWriter(client.get()).write(bytes_of_text(kBusy));
  else if (!connect(std::move(client)))
    log_.guest_noise("console", fmt::format("'{}': no resources for a client", listener_.path()));
}

// Without resources the connection stays in the queue and would be reported for ever.
void UnixSocketBackend::accept_failed(EventLoop& loop, int error) {
  if (error != EMFILE && error != ENFILE && error != ENOMEM && error != ENOBUFS) return;
  log_.guest_noise("console", fmt::format("'{}': {}", listener_.path(), std::strerror(error)));
  waiting_ = loop.after(kAcceptRetry, [this, &loop] {
    waiting_.reset();
    look_for_peers(loop);
  });
}

}  // namespace vireo::dev
