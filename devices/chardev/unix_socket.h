// unix:PATH: a listening stream socket; one client at a time, further ones are told and dropped.
//
// Thread: constructed on the control thread, then the loop's. Owns the socket file.
#pragma once

#include <string>

#include "devices/chardev/peer_backend.h"
#include "vmm/base/log.h"
#include "vmm/base/unix_listener.h"

namespace vireo::dev {

class UnixSocketBackend final : public PeerBackend {
 public:
  // Throws ConfigError when the path is too long, is something else, or is listened on already.
  explicit UnixSocketBackend(const std::string& path, Logger log = {});

 private:
  void look_for_peers(EventLoop& loop) override;
  void stop_looking() override;
  void accept_client(EventLoop& loop);
  void accept_failed(EventLoop& loop, int error);

  const Logger log_;
  UnixListener listener_;
  EventLoop::Registration waiting_;
};

}  // namespace vireo::dev
