// pty: a pseudo-terminal that other programs open by name.
//
// A program that closes it may come back: the name stays until the backend goes. Nothing tells a
// master that its slave was opened, so that an unused one is looked at four times a second.
// Thread: constructed on the control thread, then the loop's. Owns the master.
#pragma once

#include <string>

#include "devices/chardev/peer_backend.h"

namespace vireo::dev {

class PtyBackend final : public PeerBackend {
 public:
  PtyBackend();                                               // throws std::system_error
  const std::string& path() const noexcept { return path_; }  // "/dev/pts/3"

 private:
  void look_for_peers(EventLoop& loop) override;
  void stop_looking() override;

  UniqueFd master_;
  std::string path_;
  EventLoop::Registration timer_;
};

}  // namespace vireo::dev
