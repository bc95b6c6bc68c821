// Small files as a whole, for the agent. No C++ library; errors leave nothing.
#pragma once

#include <fcntl.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <string_view>

#include "agent/guest/fd.h"

namespace vireo::agent {

// A file's text, up to kMost bytes of it; empty when it cannot be read.
class FileText {
 public:
  static constexpr size_t kMost = 1 << 20;

  explicit FileText(const char* path) noexcept : text_(static_cast<char*>(std::malloc(kMost))) {
    const Fd fd(::open(path, O_RDONLY | O_CLOEXEC));
    while (text_ && fd && size_ < kMost) {
      const ssize_t count = ::read(fd.get(), text_ + size_, kMost - size_);
      if (count <= 0) break;
      size_ += static_cast<size_t>(count);
    }
  }
  FileText(const FileText&) = delete;
  FileText& operator=(const FileText&) = delete;
  ~FileText() { std::free(text_); }

  std::string_view view() const noexcept { return {text_, size_}; }

 private:
  char* text_;
  size_t size_ = 0;
};

// Takes the text up to `separator`, which is dropped, off the front of `text`.
inline std::string_view take_until(std::string_view& text, char separator) noexcept {
  const size_t end = text.find(separator);
  const bool found = end != std::string_view::npos;
  const std::string_view taken(text.data(), found ? end : text.size());
  text.remove_prefix(found ? end + 1 : text.size());
  return taken;
}

// 0, or an errno.
inline int write_file(const char* path, std::string_view text) noexcept {
  const Fd fd(::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) return errno;
  return ::write(fd.get(), text.data(), text.size()) < 0 ? errno : 0;
}

}  // namespace vireo::agent
