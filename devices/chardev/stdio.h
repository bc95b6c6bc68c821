// stdio: standard input and output, or whatever descriptors stand for them.
//
// Thread: constructed on the control thread, then the loop's. The descriptors stay the caller's and
// keep their blocking mode for others; the terminal's mode is not touched (terminal.h).
// On a terminal, with an escape handler, input is read also while the guest takes none, so that the
// prefix always works; up to kTypedAhead bytes wait for the guest, the rest is lost. Otherwise
// everything is input, and what the guest does not take stays where it is.
// A terminal is read in its foreground only; from the background it is looked at four times a
// second, since nothing tells when a shell has brought the process to the foreground (fg).
#pragma once

#include <functional>
#include <vector>

#include "devices/chardev/backend.h"
#include "devices/chardev/escape.h"
#include "devices/chardev/fd_stream.h"
#include "devices/chardev/file.h"

namespace vireo::dev {

class StdioBackend final : public CharBackend {
 public:
  static constexpr size_t kTypedAhead = 4096;
  using EscapeHandler = std::function<void(EscapeCommand)>;

  // Throws std::system_error.
  StdioBackend(int in, int out, EscapeHandler escape, Logger log, OutputLost lost = {});

  void open(EventLoop& loop, CharFrontend& frontend) override;
  void close() override;
  size_t write(std::span<const std::byte> bytes) override { return output_.write(bytes); }
  void set_readable(bool readable) override;

 private:
  void listen();
  void ignore();
  bool may_read();
  void take(std::span<const std::byte> bytes);
  void decode(std::span<const std::byte> bytes);
  void execute(EscapeCommand command);
  void deliver();

  const PrivateFd in_;
  const PrivateFd out_;
  const EscapeHandler escape_;  // none unless `in` is a terminal
  FdReader reader_;
  FdOutput output_;
  EscapeDecoder decoder_;
  std::vector<std::byte> typed_;  // at most kTypedAhead; only with escapes
  EventLoop* loop_ = nullptr;
  CharFrontend* frontend_ = nullptr;
  bool readable_ = false;
  EventLoop::Registration delivery_;
  EventLoop::Registration foreground_;  // while the terminal is somebody else's
};

}  // namespace vireo::dev
