// Where viewers come in: "HOST:PORT", "[IPV6]:PORT", "unix:PATH".
//
// Thread: an Endpoint is a value; a Listener belongs to its loop, which may also be idle.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "devices/display/peer.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/fd.h"
#include "vmm/base/unix_listener.h"

namespace vireo::display {

struct Endpoint {
  std::string text;       // as the user gave it
  std::string host{};     // without brackets
  std::string unix_path;  // if not empty
  sockaddr_storage address{};
  socklen_t length = 0;

  bool is_unix() const noexcept { return !unix_path.empty(); }
  // Nobody else's machine reaches it.
  bool is_local() const noexcept;
};

// Throws ConfigError: not of these forms, or no such host. May wait for the resolver.
Endpoint resolve_endpoint(const std::string& text);

class Listener {
 public:
  using Accept = std::function<void(UniqueFd socket, Peer peer)>;

  // Throws ConfigError when somebody else listens there, or it cannot be.
  explicit Listener(const Endpoint& endpoint);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  void start(EventLoop& loop, Accept accept);
  void stop() { waiting_.reset(); }
  // With the port that was really taken.
  std::string address() const;

 private:
  int fd() const noexcept { return unix_ ? unix_->fd() : socket_.get(); }
  void wait();
  void accept_some();

  std::string host_;
  std::optional<UnixListener> unix_;
  UniqueFd socket_;
  EventLoop* loop_ = nullptr;
  Accept accept_;
  EventLoop::Registration waiting_;
};

}  // namespace vireo::display
