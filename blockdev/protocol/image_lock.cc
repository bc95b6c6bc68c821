#include "blockdev/protocol/image_lock.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <system_error>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

constexpr off_t kUsed = 100;
constexpr off_t kUnshared = 200;
constexpr off_t kConsistentRead = 0;
constexpr off_t kWrite = 1;
constexpr off_t kResize = 3;
constexpr std::array kChanges{kWrite, kResize};

struct ::flock byte_range(short type, off_t byte) noexcept {
  struct ::flock range {};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = byte;
  range.l_len = 1;
  return range;
}

int lock_call(int fd, int command, struct ::flock& range) noexcept {
  int result = 0;
  do {
    result = ::fcntl(fd, command, &range);
  } while (result != 0 && errno == EINTR);
  return result;
}

class ImageLock {
 public:
  ImageLock(int fd, const std::string& path, bool write) : fd_(fd), path_(path), write_(write) {}

  void take(off_t byte) const {
    struct ::flock range = byte_range(F_RDLCK, byte);
    if (lock_call(fd_, F_OFD_SETLK, range) == 0) return;
    if (errno == EAGAIN || errno == EACCES) throw_in_use();
    throw_unsupported();
  }
  void require_free(off_t byte) const {
    struct ::flock range = byte_range(F_WRLCK, byte);
    if (lock_call(fd_, F_OFD_GETLK, range) != 0) throw_unsupported();
    if (range.l_type != F_UNLCK) throw_in_use();
  }

 private:
  [[noreturn]] void throw_in_use() const {
    const char* advice = write_ ? "stop whoever uses it, or open it read-only everywhere"
                                : "stop whoever writes it, or use a copy";
    throw ConfigError(
        fmt::format("disk image '{}' is in use by another process or machine; {}", path_, advice));
  }
  [[noreturn]] void throw_unsupported() const {
    const std::string cause = std::system_category().message(errno);
    throw ConfigError(
        fmt::format("cannot lock disk image '{}' ({}); switch locking off if nobody else uses it",
                    path_, cause));
  }

  int fd_;
  const std::string& path_;
  bool write_;
};

}  // namespace

// First all locks are taken, then the others' are looked at: of two who come at the same time at
// most one gets through.
void lock_image(int fd, const std::string& path, bool write) {
  const ImageLock lock(fd, path, write);
  lock.take(kUsed + kConsistentRead);
  for (const off_t change : kChanges) {
    if (write) lock.take(kUsed + change);
    lock.take(kUnshared + change);
  }
  lock.require_free(kUnshared + kConsistentRead);
  for (const off_t change : kChanges) {
    if (write) lock.require_free(kUnshared + change);
    lock.require_free(kUsed + change);
  }
}

}  // namespace vireo::blk
