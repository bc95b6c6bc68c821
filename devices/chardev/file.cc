#include "devices/chardev/file.h"

#include <fcntl.h>

#include <cerrno>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

UniqueFd open_for_output(const std::string& path) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  UniqueFd fd{::open(path.c_str(), kFlags, 0644)};
  if (fd) return fd;
  if (errno == ENXIO)
    throw ConfigError(fmt::format(
        "nobody reads the FIFO '{}' that console output shall go to: start its reader first",
        path));
  throw_errno(fmt::format("cannot write console output to '{}'", path));
}

}  // namespace

void FdOutput::open(EventLoop& loop, CharFrontend& frontend) noexcept {
  loop_ = &loop;
  frontend_ = &frontend;
}

void FdOutput::close() {
  writer_.cancel();
  loop_ = nullptr;
  frontend_ = nullptr;
}

size_t FdOutput::write(std::span<const std::byte> bytes) {
  if (broken_) return bytes.size();
  const FdWriter::Written written = writer_.write(bytes);
  if (written.error) {
    broken_ = true;
    log_.warn("console",
              fmt::format("{}: {}: further output is lost", what_, written.error.message()));
    return bytes.size();
  }
  if (written.bytes < bytes.size())
    writer_.call_when_writable(*loop_, [this] { frontend_->writable(); });
  return written.bytes;
}

FileBackend::FileBackend(const std::string& path, Logger log)
    : fd_(open_for_output(path)), output_(fd_.get(), "'" + path + "'", std::move(log)) {}

}  // namespace vireo::dev
