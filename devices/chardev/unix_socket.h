// unix:PATH: a listening stream socket; one client at a time, further ones are told and dropped.
//
// Thread: constructed on the control thread, then the loop's. Owns the socket file: made in the
// constructor (in place of a stale one that nobody listens on), removed in the destructor.
#pragma once

#include <sys/types.h>

#include <string>

#include "devices/chardev/peer_backend.h"

namespace vireo::dev {

class UnixSocketBackend final : public PeerBackend {
 public:
  // Throws ConfigError when the path is too long, is something else, or is listened on already.
  explicit UnixSocketBackend(std::string path, Logger log = {});
  ~UnixSocketBackend() override;

 private:
  void look_for_peers(EventLoop& loop) override;
  void stop_looking() override;
  void accept_client(EventLoop& loop);
  void accept_failed(EventLoop& loop, int error);

  const std::string path_;
  const Logger log_;
  UniqueFd listener_;
  dev_t device_ = 0;  // of the socket file, to remove only our own
  ino_t inode_ = 0;
  EventLoop::Registration waiting_;
};

}  // namespace vireo::dev
