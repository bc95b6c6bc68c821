#include "agent/guest/command.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace vireo::agent {

namespace {

// The host is told of room in parts of the window, not of each byte.
constexpr uint32_t kTellAt = kWindow / 4;
// What a terminal's user types for the end, ^D: in a line, the first one only ends that.
constexpr std::byte kEndOfFile[] = {std::byte{4}, std::byte{4}};
constexpr std::byte kLineEnd{'\n'};
constexpr size_t kMostOfTerminal = 1 << 20;

bool would_block() noexcept {
  return errno == EAGAIN || errno == EINTR;
}

}  // namespace

Failure Command::start(uint32_t channel, const Exec& exec) noexcept {
  Process process;
  if (const Failure failure = start_process(exec, process)) return failure;
  channel_ = channel;
  pid_ = process.pid;
  terminal_ = exec.terminal != 0;
  in_ = std::move(process.in);
  out_.fd = std::move(process.out);
  error_.fd = std::move(process.error);
  return {};
}

bool Command::take(const Data& data) noexcept {
  if (data.stream != Stream::in || in_ended_) return false;
  if (!in_ || data.bytes.empty()) return true;  // who no longer reads is not told of more
  in_a_line_ = data.bytes.back() != kLineEnd;
  return pending_.push(data.bytes);
}

bool Command::take(const StreamEnd& end) noexcept {
  if (end.stream == Stream::in) {
    if (std::exchange(in_ended_, true)) return false;
    if (terminal_ && in_) pending_.push(std::span(kEndOfFile).first(in_a_line_ ? 2 : 1));
    if (pending_.empty()) in_.reset();
    return true;
  }
  output(end.stream).fd.reset();
  return true;
}

bool Command::take(const Window& window) noexcept {
  if (window.stream == Stream::in) return false;
  Output& opened = output(window.stream);
  if (window.bytes > kWindow - opened.credit) return false;
  opened.credit += window.bytes;
  return true;
}

void Command::take(const Resize& size) noexcept {
  if (terminal_ && out_.fd) resize_terminal(out_.fd.get(), size);
}

void Command::take(const Signal& signal) noexcept {
  if (!status_) ::kill(-pid_, signal.number);
}

size_t Command::wanted(pollfd* fds, const Port& port) const noexcept {
  size_t count = 0;
  const auto want = [&](const Fd& fd, short events) { fds[count++] = {fd.get(), events, 0}; };
  if (in_ && !pending_.empty()) want(in_, POLLOUT);
  if (!port.may_send_data()) return count;
  if (out_.wanted()) want(out_.fd, POLLIN);
  if (error_.wanted()) want(error_.fd, POLLIN);
  return count;
}

// A terminal hangs up when nobody has its other end open, for reading or writing.
bool Command::serve(Port& port) noexcept {
  if (terminal_ && in_ && !out_.fd) close_input(port);
  if (in_ && !pending_.empty()) feed(port);
  forward(out_, Stream::out, port);
  forward(error_, Stream::error, port);
  if (!status_ || !out_.finished() || !error_.finished()) return false;
  tell_end(port);
  return true;
}

void Command::feed(Port& port) noexcept {
  const Bytes front = pending_.front();
  const ssize_t count = ::write(in_.get(), front.data(), front.size());
  if (count < 0) {
    if (!would_block()) close_input(port);
    return;
  }
  pending_.pop(static_cast<size_t>(count));
  taken_ += static_cast<uint32_t>(count);
  if (taken_ >= kTellAt)
    port.send(channel_, Window{.stream = Stream::in, .bytes = std::exchange(taken_, 0)});
  if (pending_.empty() && in_ended_) in_.reset();
}

// Nobody reads it any more.
void Command::close_input(Port& port) noexcept {
  pending_.pop(pending_.front().size());
  pending_.pop(pending_.front().size());
  in_.reset();
  if (!in_ended_) port.send(channel_, StreamEnd{.stream = Stream::in});
}

void Command::forward(Output& output, Stream stream, Port& port) noexcept {
  if (!output.wanted() || output.owed == 0 || !port.may_send_data()) return;
  std::byte bytes[kMaxData];
  const size_t most = std::min({sizeof(bytes), size_t{output.credit}, output.owed});
  const ssize_t count = ::read(output.fd.get(), bytes, most);
  if (count > 0) {
    output.credit -= static_cast<uint32_t>(count);
    if (status_) output.owed -= static_cast<size_t>(count);
    port.send(channel_, Data{.stream = stream, .bytes = Bytes(bytes, static_cast<size_t>(count))});
    return;
  }
  if (count < 0 && would_block()) {
    if (status_) output.owed = 0;
    return;
  }
  output.fd.reset();  // its end; a terminal's is EIO
  port.send(channel_, StreamEnd{.stream = stream});
}

// A pipe tells how much lies in it; a terminal is read until it has nothing, which a read finds out
// only after all that was written to it has come through.
size_t Command::left_in(const Output& output, bool terminal) noexcept {
  if (!output.fd || terminal) return kMostOfTerminal;
  int count = 0;
  ::ioctl(output.fd.get(), FIONREAD, &count);
  return static_cast<size_t>(count);
}

void Command::ended(int status) noexcept {
  status_ = status;
  out_.owed = left_in(out_, terminal_);
  error_.owed = left_in(error_, terminal_);
}

void Command::tell_end(Port& port) const noexcept {
  if (WIFSIGNALED(*status_))
    port.send(channel_, Signaled{.signal = static_cast<uint8_t>(WTERMSIG(*status_))});
  else
    port.send(channel_, Exited{.status = static_cast<uint8_t>(WEXITSTATUS(*status_))});
}

}  // namespace vireo::agent
