#include "blockdev/disk.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <vector>

#include "blockdev/buffer.h"
#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

constexpr uint64_t kBounceChunk = 1024 * 1024;  // bounds the memory of one bounced request

uint64_t end_of(uint64_t offset, uint64_t length) noexcept {
  const uint64_t room = std::numeric_limits<uint64_t>::max() - offset;
  return offset + std::min(length, room);
}

}  // namespace

// A request from its arrival to its end.
class Disk::Request {
 public:
  explicit Request(Disk& disk) noexcept : disk_(disk) {
    if (disk_.in_flight_++ == 0) disk_.idle_.reset();
  }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;
  ~Request() {
    if (--disk_.in_flight_ == 0) disk_.idle_.set();
  }

  std::error_code finish(std::error_code error, uint64_t& count) const noexcept {
    ++(error ? disk_.counters_.errors : count);
    return error;
  }
  std::error_code finish(std::error_code error, uint64_t& count, uint64_t& bytes,
                         uint64_t length) const noexcept {
    if (!error) bytes += length;
    return finish(error, count);
  }

 private:
  Disk& disk_;
};

Disk::Disk(std::string name, std::unique_ptr<Node> graph)
    : name_(std::move(name)), graph_(std::move(graph)) {
  idle_.set();
}

Disk::~Disk() {
  VMM_CHECK(in_flight_ == 0, "a disk is idle before it is destroyed");
  VMM_CHECK(closed_ || !changed_ || std::uncaught_exceptions() > 0,
            "a disk that was changed is closed before it is destroyed");
}

uint64_t Disk::block_down(uint64_t offset) const noexcept {
  return offset & ~uint64_t{limits().block - 1};
}

uint64_t Disk::block_up(uint64_t offset) const noexcept {
  return block_down(end_of(offset, limits().block - 1));
}

bool Disk::whole_blocks(uint64_t offset, uint64_t length) const noexcept {
  return ((offset | length) & (limits().block - 1)) == 0;
}

bool Disk::buffers_fit(const IoVecs& vectors) const noexcept {
  const uintptr_t mask = limits().buffer_alignment - 1;
  return std::none_of(vectors.begin(), vectors.end(), [mask](const iovec& vector) {
    return ((reinterpret_cast<uintptr_t>(vector.iov_base) | vector.iov_len) & mask) != 0;
  });
}

std::error_code Disk::check(uint64_t offset, uint64_t length, Access access) const noexcept {
  if (closed_) return std::make_error_code(std::errc::bad_file_descriptor);
  if (access == Access::changes && limits().read_only)
    return std::make_error_code(std::errc::read_only_file_system);
  const uint64_t size = limits().size;
  if (offset > size || length > size - offset)
    return std::make_error_code(std::errc::invalid_argument);
  return {};
}

Task<std::error_code> Disk::read(uint64_t offset, IoVecs into) {
  const Request request{*this};
  const uint64_t length = total_length(into);
  RangeLock::Hold hold{ranges_, offset, end_of(offset, length), RangeLock::Mode::shared};
  co_await hold.acquire();
  std::error_code error = check(offset, length, Access::reads);
  if (error || length == 0) {
  } else if (whole_blocks(offset, length) && buffers_fit(into)) {
    error = co_await graph_->read(offset, std::move(into));
  } else {
    error = co_await read_bounced(offset, std::move(into));
  }
  co_return request.finish(error, counters_.reads, counters_.bytes_read, length);
}

Task<std::error_code> Disk::write(uint64_t offset, IoVecs from, WriteFlags flags) {
  const Request request{*this};
  const uint64_t length = total_length(from);
  const bool whole = whole_blocks(offset, length);
  RangeLock::Hold hold{ranges_, block_down(offset), block_up(end_of(offset, length)),
                       whole ? RangeLock::Mode::shared : RangeLock::Mode::exclusive};
  co_await hold.acquire();
  std::error_code error = check(offset, length, Access::changes);
  if (!error && length > 0) {
    changed_ = true;
    if (whole && buffers_fit(from))
      error = co_await graph_->write(offset, std::move(from), flags);
    else
      error = co_await write_bounced(offset, std::move(from), flags);
  }
  co_return request.finish(error, counters_.writes, counters_.bytes_written, length);
}

Task<std::error_code> Disk::read_bounced(uint64_t offset, IoVecs into) {
  const uint64_t length = total_length(into);
  const uint64_t last = block_up(offset + length);
  co_await bounces_.acquire();
  const Semaphore::Place bounce_place(bounces_);
  const Buffer buffer{std::min(last - block_down(offset), kBounceChunk), limits().buffer_alignment};
  if (!buffer) co_return std::make_error_code(std::errc::not_enough_memory);
  for (uint64_t done = 0; done < length;) {
    const uint64_t begin = block_down(offset + done);
    const uint64_t skip = offset + done - begin;
    const uint64_t whole = std::min<uint64_t>(last - begin, buffer.size());
    const uint64_t part = std::min(whole - skip, length - done);
    IoVecs bounce = buffer.vectors(0, whole);
    const std::error_code error = co_await graph_->read(begin, std::move(bounce));
    if (error) co_return error;
    copy_to(slice(into, done, part), buffer.bytes().subspan(skip, part));
    done += part;
  }
  co_return std::error_code{};
}

// Fills those blocks at the ends of `around` (whole blocks on the disk from block_down(first) on)
// that [first, last) covers only in part.
Task<std::error_code> Disk::read_edges(uint64_t first, uint64_t last, IoVecs around) {
  const uint64_t block = limits().block;
  const uint64_t head = block_down(first);
  const uint64_t tail = block_down(last);
  Debugger* const debugger = graph_->debugger();
  if (head != first) {
    IoVecs into = slice(around, 0, block);
    if (debugger != nullptr) co_await debugger->at(DebugEvent::pwritev_rmw_head);
    const std::error_code error = co_await graph_->read(head, std::move(into));
    if (error) co_return error;
    if (debugger != nullptr) co_await debugger->at(DebugEvent::pwritev_rmw_after_head);
  }
  if (tail != last && (tail != head || head == first)) {
    IoVecs into = slice(around, tail - head, block);
    if (debugger != nullptr) co_await debugger->at(DebugEvent::pwritev_rmw_tail);
    const std::error_code error = co_await graph_->read(tail, std::move(into));
    if (error) co_return error;
    if (debugger != nullptr) co_await debugger->at(DebugEvent::pwritev_rmw_after_tail);
  }
  co_return std::error_code{};
}

Task<std::error_code> Disk::write_bounced(uint64_t offset, IoVecs from, WriteFlags flags) {
  const uint64_t length = total_length(from);
  const uint64_t last = block_up(offset + length);
  co_await bounces_.acquire();
  const Semaphore::Place bounce_place(bounces_);
  const Buffer buffer{std::min(last - block_down(offset), kBounceChunk), limits().buffer_alignment};
  if (!buffer) co_return std::make_error_code(std::errc::not_enough_memory);
  for (uint64_t done = 0; done < length;) {
    const uint64_t first = offset + done;
    const uint64_t begin = block_down(first);
    const uint64_t whole = std::min<uint64_t>(last - begin, buffer.size());
    const uint64_t part = std::min(whole - (first - begin), length - done);
    IoVecs around = buffer.vectors(0, whole);
    std::error_code error = co_await read_edges(first, first + part, std::move(around));
    if (error) co_return error;
    copy_from(buffer.bytes().subspan(first - begin, part), slice(from, done, part));
    IoVecs bounce = buffer.vectors(0, whole);
    error = co_await graph_->write(begin, std::move(bounce), flags);
    if (error) co_return error;
    done += part;
  }
  co_return std::error_code{};
}

Task<std::error_code> Disk::flush() {
  const Request request{*this};
  std::error_code error = check(0, 0, Access::reads);
  if (!error) error = co_await graph_->flush();
  co_return request.finish(error, counters_.flushes);
}

Task<std::error_code> Disk::discard(uint64_t offset, uint64_t length) {
  const Request request{*this};
  RangeLock::Hold hold{ranges_, offset, end_of(offset, length), RangeLock::Mode::shared};
  co_await hold.acquire();
  std::error_code error = check(offset, length, Access::changes);
  const uint64_t begin = block_up(offset);  // a hint: what is not a whole block stays
  const uint64_t end = block_down(end_of(offset, length));
  if (!error && begin < end) {
    changed_ = true;
    error = co_await graph_->discard(begin, end - begin);
  }
  co_return request.finish(error, counters_.discards);
}

Task<std::error_code> Disk::zero(uint64_t offset, uint64_t length, ZeroFlags flags) {
  const Request request{*this};
  const bool whole = whole_blocks(offset, length);
  RangeLock::Hold hold{ranges_, block_down(offset), block_up(end_of(offset, length)),
                       whole ? RangeLock::Mode::shared : RangeLock::Mode::exclusive};
  co_await hold.acquire();
  std::error_code error = check(offset, length, Access::changes);
  if (!error && length > 0) {
    changed_ = true;
    if (whole)
      error = co_await graph_->zero(offset, length, flags);
    else
      error = co_await zero_with_edges(offset, length, flags);
  }
  co_return request.finish(error, counters_.zeroes);
}

Task<std::error_code> Disk::zero_with_edges(uint64_t offset, uint64_t length, ZeroFlags flags) {
  const uint64_t last = offset + length;
  const uint64_t begin = std::min(block_up(offset), last);
  const uint64_t end = std::max(block_down(last), begin);
  std::error_code error;
  if (begin > offset) error = co_await zero_edge(offset, begin - offset);
  if (!error && end > begin) error = co_await graph_->zero(begin, end - begin, flags);
  if (!error && last > end) error = co_await zero_edge(end, last - end);
  co_return error;
}

Task<std::error_code> Disk::zero_edge(uint64_t offset, uint64_t length) {
  std::vector<std::byte> zeros(length);  // less than a block
  IoVecs from{iovec{zeros.data(), zeros.size()}};
  const WriteFlags flags;
  const std::error_code error = co_await write_bounced(offset, std::move(from), flags);
  co_return error;
}

Task<std::error_code> Disk::resize(uint64_t size) {
  const Request request{*this};
  RangeLock::Hold hold{ranges_, 0, std::numeric_limits<uint64_t>::max(),
                       RangeLock::Mode::exclusive};
  co_await hold.acquire();
  std::error_code error = check(0, 0, Access::changes);
  if (!error) {
    changed_ = true;
    error = co_await graph_->resize(size);
  }
  if (error) ++counters_.errors;
  co_return error;
}

Task<Extent> Disk::extent(uint64_t offset, uint64_t length) {
  const Request request{*this};
  RangeLock::Hold hold{ranges_, offset, end_of(offset, length), RangeLock::Mode::shared};
  co_await hold.acquire();
  if (check(offset, length, Access::reads) || length == 0) co_return Extent{};
  const uint64_t begin = block_down(offset);
  const uint64_t end = block_up(offset + length);
  const uint64_t skip = offset - begin;
  Extent found = co_await graph_->extent(begin, end - begin);
  found.length = std::min(found.length - skip, length);
  co_return found;
}

Task<void> Disk::idle() {
  while (in_flight_ > 0) {
    hurry();
    if (in_flight_ > 0) co_await idle_.wait();
  }
}

Task<std::error_code> Disk::close() {
  co_await idle();
  if (closed_) co_return std::error_code{};
  closed_ = true;
  const std::error_code error = co_await graph_->close();
  co_return error;
}

}  // namespace vireo::blk
