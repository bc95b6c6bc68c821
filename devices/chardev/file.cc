#include "devices/chardev/file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

// `disposition`: O_TRUNC or 0.
UniqueFd open_for_output(const std::string& path, int disposition) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  UniqueFd fd{::open(path.c_str(), kFlags | disposition, 0644)};
  if (fd) return fd;
  struct stat status {};
  const int error = errno;
  if (::stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode))
    throw ConfigError(fmt::format(
        "'{}' is a socket, to which console output is not sent: write unix:PATH for one of our own",
        path));
  errno = error;
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
    if (lost_) lost_(written.error);
    return bytes.size();
  }
  if (written.bytes < bytes.size())
    writer_.call_when_writable(*loop_, [this] { frontend_->writable(); });
  return written.bytes;
}

void FdOutput::replace(int fd) {
  writer_ = FdWriter(fd);
  broken_ = false;
}

FileBackend::FileBackend(std::string path, Logger log, OutputLost lost)
    : path_(std::move(path)),
      log_(std::move(log)),
      fd_(open_for_output(path_, O_TRUNC)),
      output_(fd_.get(), "'" + path_ + "'", log_, std::move(lost)) {}

// A regular file never makes the guest wait, so that nothing is under way here; what else the name
// stands for (a FIFO, a device) is nothing that is moved away.
void FileBackend::reopen() try {
  struct stat status {};
  if (::fstat(fd_.get(), &status) == 0 && !S_ISREG(status.st_mode)) return;
  UniqueFd fd = open_for_output(path_, 0);
  output_.replace(fd.get());
  fd_ = std::move(fd);
} catch (const std::exception& error) {
  log_.warn("console", fmt::format("{}: the old file goes on", describe(error)));
}

}  // namespace vireo::dev
