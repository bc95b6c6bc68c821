// Lines of text for a terminal, a pipe, a socket or a file. Whoever should read them may have
// stopped: a line that there is no room for is lost and counted, and nobody waits.
//
// Any thread: one line at a time. A file is written where it lies, which a full or absent disk may
// delay; a line that it does not take is lost like the others.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>

#include "vmm/base/fd.h"

namespace vireo {

class LineWriter {
 public:
  // Longer lines are cut off.
  static constexpr size_t kMostLine = 4000;

  // A descriptor of the caller's, such as 2, which stays open for longer than this. Its flags,
  // which other processes share, stay as they are.
  explicit LineWriter(int fd);
  // A file, which is made or appended to; a FIFO need not have a reader yet. Throws
  // std::system_error.
  explicit LineWriter(std::string path);
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  // Adds the end of the line. False when the line is lost: the next one that is not says so. There
  // may be room within `patience`.
  bool write(std::string_view line, std::chrono::milliseconds patience = {});
  // Opens the file by its name again, which somebody may have moved away; the old one is kept, and
  // the error returned, when that cannot be. Descriptors of the caller's stay as they are.
  std::error_code reopen();

 private:
  enum class Channel : uint8_t { ours, socket, shared_pipe, shared_terminal };
  bool flush(std::chrono::milliseconds patience);
  ssize_t put(std::string_view bytes) const;
  bool room(std::chrono::milliseconds patience) const;

  std::mutex mutex_;  // of all below
  const std::string path_;
  UniqueFd own_;  // that no other process has
  int fd_;
  Channel channel_ = Channel::ours;
  std::string rest_;  // of a line that went out in part
  uint64_t lost_ = 0;
};

}  // namespace vireo
