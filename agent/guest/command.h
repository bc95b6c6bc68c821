// A command that runs: its process, what waits for it, what it may still write.
//
// One thread. No C++ library. Each stream has its window (kWindow); the command itself is bounded
// by its pipes. Its end is that of its process: what it wrote before still goes out, and nothing
// that others write later who have its streams open, too.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "agent/guest/fd.h"
#include "agent/guest/fifo.h"
#include "agent/guest/port.h"
#include "agent/guest/process.h"

namespace vireo::agent {

class Command {
 public:
  explicit operator bool() const noexcept { return pid_ > 0; }
  uint32_t channel() const noexcept { return channel_; }
  pid_t pid() const noexcept { return pid_; }

  Failure start(uint32_t channel, const Exec& exec) noexcept;

  // What the host sends. False: against the protocol.
  bool take(const Data& data) noexcept;
  bool take(const StreamEnd& end) noexcept;
  bool take(const Window& window) noexcept;
  void take(const Resize& size) noexcept;
  void take(const Signal& signal) noexcept;

  // What it waits for; at most kStreams entries.
  size_t wanted(pollfd* fds, const Port& port) const noexcept;
  // Does what can be done now. True: that was all, the command is over and the host knows.
  bool serve(Port& port) noexcept;
  bool is_over() const noexcept { return status_.has_value(); }
  // Its process has ended, with this status of waitpid(2).
  void ended(int status) noexcept;

 private:
  struct Output {
    Fd fd{};
    uint32_t credit = kWindow;  // what the host still takes
    size_t owed = SIZE_MAX;     // what is to go out yet, from the end of the process on
    bool wanted() const noexcept { return fd && credit > 0; }
    bool finished() const noexcept { return !fd || owed == 0; }
  };
  static size_t left_in(const Output& output, bool terminal) noexcept;
  void feed(Port& port) noexcept;
  void close_input(Port& port) noexcept;
  void forward(Output& output, Stream stream, Port& port) noexcept;
  void tell_end(Port& port) const noexcept;
  Output& output(Stream stream) noexcept { return stream == Stream::out ? out_ : error_; }

  uint32_t channel_ = 0;
  pid_t pid_ = 0;
  bool terminal_ = false;
  Fd in_{};
  Fifo pending_{};
  uint32_t taken_ = 0;      // of the input, since the host was last told
  bool in_ended_ = false;   // the host sends no more
  bool in_a_line_ = false;  // its last byte so far was not the end of one
  Output out_{}, error_{};
  std::optional<int> status_{};
};

}  // namespace vireo::agent
