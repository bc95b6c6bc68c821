#include "vmm/base/line_writer.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo {

namespace {

constexpr int kFlags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

// A FIFO without a reader takes no writer (fifo(7)), but one that could read, too.
UniqueFd open_file(const std::string& path) {
  UniqueFd fd{::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | kFlags, 0644)};
  if (!fd && errno == ENXIO) fd.reset(::open(path.c_str(), O_RDWR | kFlags));
  return fd;
}

mode_t type_of(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? status.st_mode & S_IFMT : 0;
}

// Of a pipe or terminal: an open file of our own, which does not wait, beside the one that other
// processes write to.
UniqueFd open_again(int fd) {
  return UniqueFd{::open(fmt::format("/proc/self/fd/{}", fd).c_str(), O_WRONLY | kFlags)};
}

}  // namespace

LineWriter::LineWriter(int fd) : fd_(fd) {
  const mode_t type = type_of(fd);
  const bool terminal = type == S_IFCHR && ::isatty(fd) != 0;
  if (type == S_IFSOCK) channel_ = Channel::socket;
  if (type != S_IFIFO && !terminal) return;
  own_ = open_again(fd);
  if (own_)
    fd_ = own_.get();
  else
    channel_ = terminal ? Channel::shared_terminal : Channel::shared_pipe;
}

LineWriter::LineWriter(std::string path)
    : path_(std::move(path)), own_(open_file(path_)), fd_(own_.get()) {
  if (!own_) throw_errno(fmt::format("cannot open the log file '{}'", path_));
}

bool LineWriter::write(std::string_view line, std::chrono::milliseconds patience) {
  const std::lock_guard lock(mutex_);
  if (!flush(patience)) {
    ++lost_;
    return false;
  }
  rest_ = line.substr(0, kMostLine);
  if (lost_ > 0) rest_ += fmt::format(" ({} lines before this one are lost)", lost_);
  rest_ += '\n';
  const size_t whole = rest_.size();
  flush(patience);
  // Part of a line is no loss: the rest of it goes out before anything else.
  const bool lost = rest_.size() == whole;
  if (lost) rest_.clear();
  lost_ = lost ? lost_ + 1 : 0;
  return !lost;
}

// True when nothing is left to go out.
bool LineWriter::flush(std::chrono::milliseconds patience) {
  while (!rest_.empty()) {
    const ssize_t written = put(rest_);
    if (written > 0)
      rest_.erase(0, static_cast<size_t>(written));
    else if (written < 0 && errno == EINTR)
      continue;
    else if (written == 0 || errno != EAGAIN || patience.count() == 0 || !room(patience))
      return false;
  }
  return true;
}

// What is shared with other processes and cannot be opened again (such as the terminal of a user
// before su) may wait in spite of all when another one takes the room first. The kernel promises
// PIPE_BUF bytes of it to a pipe (pipe(7)). A terminal counts as writable from the first byte on,
// but pseudo-terminals grow by 256: tabs and ends of lines become up to eight characters.
ssize_t LineWriter::put(std::string_view bytes) const {
  constexpr size_t kTerminalPiece = 32;
  if (channel_ == Channel::socket)
    return ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  const bool shared = channel_ == Channel::shared_pipe || channel_ == Channel::shared_terminal;
  if (shared && !room({})) {
    errno = EAGAIN;
    return -1;
  }
  const size_t most = channel_ == Channel::shared_terminal ? kTerminalPiece : PIPE_BUF;
  return ::write(fd_, bytes.data(), std::min(bytes.size(), most));
}

bool LineWriter::room(std::chrono::milliseconds patience) const {
  pollfd writer{.fd = fd_, .events = POLLOUT, .revents = 0};
  return ::poll(&writer, 1, static_cast<int>(patience.count())) == 1;
}

std::error_code LineWriter::reopen() {
  if (path_.empty()) return {};
  const std::lock_guard lock(mutex_);
  UniqueFd file = open_file(path_);
  if (!file) return last_error();
  own_ = std::move(file);
  fd_ = own_.get();
  rest_.clear();
  return {};
}

}  // namespace vireo
