// Standard input, output and error of this process as those of a command in a guest.
//
// Thread: constructed on the control thread; begin() and what follows on the loop's, which outlives
// it and is idle or gone when it is destroyed. The descriptors stay the caller's and keep their
// blocking mode for others. Nothing waits: what a slow reader does not take, up to a window of the
// session's, stays here, and then with the guest.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "agent/host/session.h"
#include "devices/chardev/fd_stream.h"

namespace vireo::cli {

class CommandStreams {
 public:
  // Both on the loop.
  struct Events {
    std::function<void()> flushed;                     // nothing waits here any more
    std::function<void(std::error_code)> output_lost;  // once; not when a reader has gone
  };
  // `in`, `out` and `error` are descriptors. Throws std::system_error.
  CommandStreams(int in, int out, int error, Events events);

  // From here on the input is the command's. Both outlive this.
  void begin(EventLoop& loop, agent::Session& session, uint32_t channel);
  // The command's events, as the session tells them.
  void output(agent::Stream stream, agent::Bytes bytes);
  void writable();
  // No more input is read.
  void input_closed();
  bool is_flushed() const noexcept { return outs_[0].waiting.empty() && outs_[1].waiting.empty(); }

 private:
  struct Out {
    explicit Out(int descriptor, agent::Stream which)
        : stream(which), fd(descriptor, dev::PrivateFd::Use::write), writer(fd.get()) {}
    const agent::Stream stream;
    const dev::PrivateFd fd;
    dev::FdWriter writer;
    std::vector<std::byte> waiting{};
    bool gone = false;
  };

  void listen();
  bool may_read();
  void read(agent::Bytes bytes);
  void flush(Out& out);
  void lose(Out& out, std::error_code why);

  const Events events_;
  const dev::PrivateFd in_fd_;
  dev::FdReader in_;
  bool closed_ = false;            // the input
  std::vector<std::byte> unsent_;  // read, and not taken by the session yet
  Out outs_[2];
  EventLoop* loop_ = nullptr;
  agent::Session* session_ = nullptr;
  uint32_t channel_ = 0;
  EventLoop::Registration foreground_;  // while the terminal is somebody else's
};

}  // namespace vireo::cli
