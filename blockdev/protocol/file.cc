#include "blockdev/protocol/file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

#include "blockdev/engine/aio.h"
#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

// What is left of a list of buffers while a transfer makes its way through it.
class Remaining {
 public:
  explicit Remaining(IoVecs vectors) noexcept
      : vectors_(std::move(vectors)), left_(total_length(vectors_)) {}

  bool empty() const noexcept { return left_ == 0; }
  uint64_t left() const noexcept { return left_; }
  std::span<const iovec> next() const noexcept {
    return std::span<const iovec>(vectors_).subspan(
        index_, std::min<size_t>(vectors_.size() - index_, IOV_MAX));
  }
  void advance(uint64_t bytes) noexcept {
    left_ -= bytes;
    if (left_ == 0) return;
    for (; bytes >= vectors_[index_].iov_len; ++index_) bytes -= vectors_[index_].iov_len;
    iovec& vector = vectors_[index_];
    vector.iov_base = static_cast<std::byte*>(vector.iov_base) + bytes;
    vector.iov_len -= bytes;
  }
  void fill_with_zeros() noexcept {
    vectors_.erase(vectors_.begin(), vectors_.begin() + static_cast<std::ptrdiff_t>(index_));
    fill_zero(vectors_);
  }

 private:
  IoVecs vectors_;
  size_t index_ = 0;
  uint64_t left_;
};

std::error_code error_of(int64_t result) noexcept {
  return {static_cast<int>(-result), std::system_category()};
}

bool is_unsupported(const std::error_code& error) noexcept {
  return error == std::errc::operation_not_supported || error == std::errc::not_supported ||
         error == std::errc::inappropriate_io_control_operation ||
         error == std::errc::function_not_supported;
}

template <class Call>
std::error_code repeat_interrupted(Call call) noexcept {
  while (call() != 0)
    if (errno != EINTR) return last_error();
  return {};
}

std::error_code allocate(int fd, int mode, uint64_t offset, uint64_t length) noexcept {
  return repeat_interrupted([=] {
    return ::fallocate(fd, mode, static_cast<off_t>(offset), static_cast<off_t>(length));
  });
}

std::error_code device_range(int fd, unsigned long request, uint64_t offset,
                             uint64_t length) noexcept {
  std::array<uint64_t, 2> range{offset, length};
  return repeat_interrupted([&] { return ::ioctl(fd, request, range.data()); });
}

bool is_in_memory(int fd) noexcept {
  struct ::statfs status {};
  return ::fstatfs(fd, &status) == 0 && status.f_type == TMPFS_MAGIC;
}

}  // namespace

std::shared_ptr<IoEngine> FileEngines::threads(std::shared_ptr<IoEngine>& engine,
                                               ThreadEngine::Files files) {
  if (!engine) engine = std::make_shared<ThreadEngine>(host_.loop, host_.pool, files);
  return engine;
}

std::shared_ptr<IoEngine> FileEngines::engine(int fd, CacheMode cache, AioMode aio) {
  if (!is_direct(cache)) {
    if (aio == AioMode::native)
      throw ConfigError("aio=native needs cache=none: the page cache would make it wait");
    return is_in_memory(fd) ? threads(memory_, ThreadEngine::Files::memory)
                            : threads(buffered_, ThreadEngine::Files::cached);
  }
  if (aio == AioMode::threads) return threads(direct_, ThreadEngine::Files::direct);
  if (!native_) native_ = std::make_shared<AioEngine>(host_.loop, host_.pool);
  return native_;
}

FileNode::FileNode(Host host, std::shared_ptr<IoEngine> engine, OpenFile file, CacheMode cache)
    : host_(std::move(host)),
      engine_(std::move(engine)),
      fd_(std::move(file.fd)),
      limits_(file.limits),
      is_device_(file.is_device),
      ignores_flushes_(cache == CacheMode::unsafe || file.limits.read_only),
      uses_page_cache_(!is_direct(cache)),
      writes_through_(cache == CacheMode::writethrough || cache == CacheMode::directsync) {}

void FileNode::changed_up_to(uint64_t end) noexcept {
  ++changes_;
  if (!is_device_) limits_.size = std::max(limits_.size, end);
}

Task<std::error_code> FileNode::read(uint64_t offset, IoVecs into) {
  Remaining rest{std::move(into)};
  IoOp op{.kind = IoOp::Kind::read, .fd = fd_.get(), .offset = offset, .vectors = {}};
  while (!rest.empty()) {
    op.vectors = rest.next();
    const int64_t moved = co_await engine_->run(op);
    if (moved == -EINTR) continue;
    if (moved < 0) co_return error_of(moved);
    rest.advance(static_cast<uint64_t>(moved));
    op.offset += static_cast<uint64_t>(moved);
    // Direct I/O stops inside a block only where the file ends.
    const bool at_end = moved == 0 || op.offset % limits_.block != 0;
    if (!rest.empty() && at_end) {
      rest.fill_with_zeros();
      break;
    }
  }
  co_return std::error_code{};
}

Task<std::error_code> FileNode::write(uint64_t offset, IoVecs from, WriteFlags flags) {
  Remaining rest{std::move(from)};
  IoOp op{.kind = IoOp::Kind::write,
          .fd = fd_.get(),
          .offset = offset,
          .vectors = {},
          .durable = writes_through_ || (flags.fua && !ignores_flushes_)};
  while (!rest.empty()) {
    op.vectors = rest.next();
    const int64_t moved = co_await engine_->run(op);
    if (moved == -EINTR) continue;
    if (moved < 0) co_return error_of(moved);
    if (moved == 0) co_return std::make_error_code(std::errc::no_space_on_device);
    rest.advance(static_cast<uint64_t>(moved));
    op.offset += static_cast<uint64_t>(moved);
    changed_up_to(op.offset);
  }
  co_return std::error_code{};
}

Task<std::error_code> FileNode::flush() {
  if (ignores_flushes_ || (flushed_ == changes_ && !lost_)) co_return std::error_code{};
  if (lost_) co_return lost_;
  const uint64_t covered = changes_;
  IoOp op{.kind = IoOp::Kind::fdatasync, .fd = fd_.get(), .offset = 0, .vectors = {}};
  int64_t result = 0;
  do {
    result = co_await engine_->run(op);
  } while (result == -EINTR);
  if (result == 0) {
    flushed_ = std::max(flushed_, covered);
    co_return std::error_code{};
  }
  // Whatever the cause was (no space, say), its end brings nothing back: that is an I/O error.
  if (uses_page_cache_) lost_ = std::make_error_code(std::errc::io_error);
  co_return error_of(result);
}

// What the blocking calls on the pool get: values, never the node, whose limits change on the loop.
struct FileNode::File {
  int fd;
  bool is_device;
  uint64_t size;
  uint64_t block;

  std::error_code discard(uint64_t offset, uint64_t length) const noexcept;
  std::error_code zero(uint64_t offset, uint64_t length, bool may_unmap) const noexcept;
  std::error_code resize(uint64_t new_size) const noexcept;
  Extent extent(uint64_t offset, uint64_t length) const noexcept;
};

std::error_code FileNode::File::discard(uint64_t offset, uint64_t length) const noexcept {
  if (is_device) return device_range(fd, BLKDISCARD, offset, length);
  return allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

std::error_code FileNode::File::zero(uint64_t offset, uint64_t length,
                                     bool may_unmap) const noexcept {
  if (is_device) return device_range(fd, BLKZEROOUT, offset, length);
  if (may_unmap && offset + length <= size) {
    const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    const std::error_code error = allocate(fd, punch, offset, length);
    if (!is_unsupported(error)) return error;
  }
  return allocate(fd, FALLOC_FL_ZERO_RANGE, offset, length);
}

// A device has the size it has; asking for that one says that it has grown.
std::error_code FileNode::File::resize(uint64_t new_size) const noexcept {
  if (!is_device)
    return repeat_interrupted([&] { return ::ftruncate(fd, static_cast<off_t>(new_size)); });
  uint64_t device_size = 0;
  if (::ioctl(fd, BLKGETSIZE64, &device_size) != 0) return last_error();
  if (new_size != device_size) return Refusal::device_keeps_size;
  return {};
}

// Whole blocks: a block that holds any data is data. Runs of data are as long as they are.
Extent FileNode::File::extent(uint64_t offset, uint64_t length) const noexcept {
  const uint64_t mask = block - 1;
  const off_t data = ::lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
  if (data < 0 && errno != ENXIO) return Extent{.length = length};
  const uint64_t hole_end = data < 0 ? offset + length : static_cast<uint64_t>(data) & ~mask;
  if (hole_end > offset)
    return Extent{.length = std::min(length, hole_end - offset), .data = false, .zero = true};
  const off_t hole = ::lseek(fd, data, SEEK_HOLE);
  if (hole < 0) return Extent{.length = length};
  const uint64_t data_end = (static_cast<uint64_t>(hole) + mask) & ~mask;
  return Extent{.length = data_end - offset};
}

FileNode::File FileNode::file() const noexcept {
  return File{fd_.get(), is_device_, limits_.size, limits_.block};
}

Task<std::error_code> FileNode::discard(uint64_t offset, uint64_t length) {
  if (!limits_.can_discard) co_return std::error_code{};
  const auto work = [file = file(), offset, length] { return file.discard(offset, length); };
  const std::error_code error = co_await offload(host_.pool, host_.loop, work);
  data_end_ = 0;
  if (!is_unsupported(error)) {
    ++changes_;
    co_return error;
  }
  limits_.can_discard = false;  // a hint, so that this is no error
  co_return std::error_code{};
}

Task<std::error_code> FileNode::zero(uint64_t offset, uint64_t length, ZeroFlags flags) {
  std::error_code error = std::make_error_code(std::errc::not_supported);
  if (limits_.can_zero) {
    const auto work = [file = file(), offset, length, flags] {
      return file.zero(offset, length, flags.may_unmap);
    };
    error = co_await offload(host_.pool, host_.loop, work);
    data_end_ = 0;
  }
  if (!is_unsupported(error)) {
    if (!error) changed_up_to(offset + length);
    co_return error;
  }
  limits_.can_zero = false;
  error = co_await Node::zero(offset, length, flags);
  co_return error;
}

Task<std::error_code> FileNode::resize(uint64_t size) {
  const auto work = [file = file(), size] { return file.resize(size); };
  const std::error_code error = co_await offload(host_.pool, host_.loop, work);
  if (error) co_return error;
  ++changes_;
  data_end_ = 0;
  limits_.size = size;
  co_return std::error_code{};
}

Task<Extent> FileNode::extent(uint64_t offset, uint64_t length) {
  if (is_device_) co_return Extent{.length = length};
  if (offset >= data_begin_ && offset < data_end_)
    co_return Extent{.length = std::min(length, data_end_ - offset)};
  const auto work = [file = file(), offset, length] { return file.extent(offset, length); };
  Extent found = co_await offload(host_.pool, host_.loop, work);
  if (found.data) {
    data_begin_ = offset;
    data_end_ = offset + found.length;
    found.length = std::min(found.length, length);
  }
  co_return found;
}

}  // namespace vireo::blk
