#include "blockdev/format/qcow2/host_file.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "blockdev/format/qcow2/on_disk.h"

namespace vireo::blk::qcow2 {

namespace {

constexpr uint64_t kMinAhead = 1024 * 1024;
constexpr uint64_t kMaxAhead = 64 * 1024 * 1024;
constexpr size_t kSlabSlices = 32;

}  // namespace

Buffer::Buffer(size_t size) : size_(size) {
  void* bytes = std::aligned_alloc(kAlignment, align_up(std::max<size_t>(size, 1), kAlignment));
  if (bytes == nullptr) throw std::bad_alloc();
  data_.reset(static_cast<std::byte*>(bytes));
}

Buffer Buffer::zeros(size_t size) {
  Buffer buffer(size);
  std::memset(buffer.data(), 0, size);
  return buffer;
}

Buffer Buffer::copy_of(std::span<const std::byte> bytes) {
  Buffer buffer(bytes.size());
  std::memcpy(buffer.data(), bytes.data(), bytes.size());
  return buffer;
}

void BufferFree::operator()(std::byte* bytes) const noexcept {
  if (pool != nullptr)
    pool->give_back(bytes);
  else
    std::free(bytes);
}

void SlicePool::grow() {
  slabs_.emplace_back(kSlabSlices * slice_size_);
  free_.reserve(slabs_.size() * kSlabSlices);
  for (size_t i = kSlabSlices; i-- > 0;) free_.push_back(slabs_.back().data() + i * slice_size_);
}

Buffer SlicePool::take() {
  if (free_.empty()) grow();
  Buffer buffer;
  buffer.data_ = {free_.back(), BufferFree{this}};
  buffer.size_ = slice_size_;
  free_.pop_back();
  return buffer;
}

Buffer SlicePool::zeros() {
  Buffer buffer = take();
  std::memset(buffer.data(), 0, slice_size_);
  return buffer;
}

Buffer SlicePool::copy_of(std::span<const std::byte> slice) {
  Buffer buffer = take();
  std::memcpy(buffer.data(), slice.data(), slice_size_);
  return buffer;
}

Task<void> Gather::add(Task<std::error_code> task) {
  co_await places_.acquire();
  scope_.spawn(run(std::move(task)));
}

Task<void> Gather::run(Task<std::error_code> task) {
  const std::error_code error = co_await task;
  if (error && !error_) error_ = error;
  places_.release();
}

Task<std::error_code> Gather::done() {
  co_await scope_.join();
  co_return error_;
}

HostFile::HostFile(std::unique_ptr<Node> node)
    : node_(std::move(node)), debugger_(node_->debugger()), untouched_from_(node_->limits().size) {}

Task<std::error_code> HostFile::read(uint64_t offset, IoVecs into) {
  const uint64_t length = total_length(into);
  if (contains(offset, length)) co_return co_await node_->read(offset, std::move(into));
  // The last block of a file may be there in part; its node fills the rest with zeros.
  const uint64_t end = align_up(size(), node_->limits().block);
  const uint64_t there = offset < end ? std::min(length, end - offset) : 0;
  if (there < length) {
    IoVecs beyond = slice(into, there, length - there);
    fill_zero(beyond);
    if (there == 0) co_return std::error_code{};
    into = slice(into, 0, there);
  }
  co_return co_await node_->read(offset, std::move(into));
}

Task<std::error_code> HostFile::read(uint64_t offset, Buffer& into) {
  IoVecs vectors{into.vector()};
  co_return co_await read(offset, std::move(vectors));
}

Task<std::error_code> HostFile::write(uint64_t offset, IoVecs from) {
  const uint64_t end = offset + total_length(from);
  if (end > size()) {
    const std::error_code error = co_await reserve(end, false);
    if (error) co_return error;
  }
  co_return co_await node_->write(offset, std::move(from), WriteFlags{});
}

Task<std::error_code> HostFile::write(uint64_t offset, Buffer& from) {
  IoVecs vectors{from.vector()};
  co_return co_await write(offset, std::move(vectors));
}

Task<std::error_code> HostFile::reserve(uint64_t end, bool ahead) {
  const AsyncMutex::Guard guard = co_await growing_.lock();
  if (end <= size()) co_return std::error_code{};
  uint64_t target = end;
  if (ahead) target = align_up(end + std::clamp(end / 8, kMinAhead, kMaxAhead), Buffer::kAlignment);
  // What somebody else appended is cut off: it would pass for zeros. A device has no end to move.
  std::error_code error = co_await node_->resize(size());
  if (!error) error = co_await node_->resize(target);
  if (error && target != end) error = co_await node_->resize(end);
  if (error == std::errc::not_supported || error == std::errc::operation_not_supported)
    error = std::make_error_code(std::errc::no_space_on_device);
  if (error) co_return error;
  grown_ = true;
  if (!ahead) touched(end);
  co_return std::error_code{};
}

Task<std::error_code> HostFile::trim(uint64_t used_end) {
  if (!grown_) co_return std::error_code{};
  co_return co_await cut(used_end);
}

Task<std::error_code> HostFile::cut(uint64_t end) {
  if (end >= size()) co_return std::error_code{};
  const std::error_code error = co_await node_->resize(end);
  if (error == std::errc::not_supported || error == std::errc::operation_not_supported)
    co_return std::error_code{};
  if (!error) untouched_from_ = std::min(untouched_from_, end);
  co_return error;
}

}  // namespace vireo::blk::qcow2
