// A listening Unix stream socket and its file: made in place of a stale one that nobody listens on,
// removed again at the end, if it is still ours.
//
// Any thread, one at a time. Non-blocking, close-on-exec.
#pragma once

#include <sys/types.h>
#include <sys/un.h>

#include <chrono>
#include <string>

#include "vmm/base/fd.h"

namespace vireo {

// Throws ConfigError when the path is too long for a socket's.
sockaddr_un unix_address(const std::string& path);

class UnixListener {
 public:
  // Throws ConfigError when the path is too long, is something else, or is listened on already.
  // `patience` is for others who make a socket in the same directory: the longest wait.
  explicit UnixListener(const std::string& path,
                        std::chrono::milliseconds patience = std::chrono::seconds(1));
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;
  ~UnixListener();

  int fd() const noexcept { return socket_.get(); }
  const std::string& path() const noexcept { return path_; }  // absolute

 private:
  const std::string path_;
  UniqueFd socket_;
  dev_t device_ = 0;  // of the socket file, to remove only our own
  ino_t inode_ = 0;
};

}  // namespace vireo
