#include "blockdev/format/qcow2/tables.h"

#include <algorithm>

namespace vireo::blk::qcow2 {

namespace {

// Clusters that wait to be let go before a flush is made for them alone.
constexpr uint64_t kManyWaiting = 16384;

}  // namespace

Tables::Tables(Image& image, Traffic& traffic, uint64_t cache_bytes)
    : allocator(image, cache_bytes / 8),
      map(image, allocator, cache_bytes - cache_bytes / 8),
      image_(image),
      traffic_(traffic) {
  map.on_full([this] { return flush(); });
}

Task<std::error_code> Tables::load() {
  std::error_code error = co_await map.load();
  if (!error && !image_.read_only) error = co_await allocator.load();
  co_return error;
}

Task<std::error_code> Tables::flush_files() {
  std::error_code error;
  if (image_.data) error = co_await image_.data->flush();
  if (!error) error = co_await image_.file.flush();
  co_return error;
}

// Steps 1 to 4.
Task<std::error_code> Tables::write_tables(Map::Captured& captured) {
  const bool lazy = image_.header.lazy_refcounts() && !eager_;
  bool barrier = std::exchange(copied_, false);
  std::error_code error;
  if (allocator.has_dirty()) {
    if (lazy) {
      error = co_await image_.set_dirty(true);
    } else {
      error = co_await allocator.write_back();
      barrier = true;
    }
  }
  if (error || captured.empty()) co_return error;
  if (barrier) error = co_await flush_files();
  if (!error) error = co_await map.write_slices(captured);
  if (error || captured.l1_parts.empty()) co_return error;
  error = co_await image_.file.flush();
  if (!error) error = co_await map.write_l1(captured);
  co_return error;
}

Task<std::error_code> Tables::flush_once() {
  Map::Captured captured = map.capture();
  std::vector<HostRange> freed = allocator.freed().take();
  const bool copied = copied_;
  std::error_code error = co_await write_tables(captured);
  if (!error) error = co_await flush_files();
  if (!error) {
    if (!freed.empty()) allocator.freed().seal(traffic_.next_epoch(), std::move(freed));
    co_return error;
  }
  map.put_back(captured);
  allocator.freed().put_back(freed);
  copied_ = copied_ || copied;
  co_return error;
}

Task<std::error_code> Tables::flush() {
  const uint64_t mine = ++asked_;
  const AsyncMutex::Guard guard = co_await flushing_.lock();
  if (served_ >= mine) co_return std::error_code{};
  const uint64_t serves = asked_;
  const std::error_code error = co_await flush_once();
  if (!error) served_ = serves;
  co_return error;
}

bool Tables::many_waiting() const noexcept {
  return allocator.freed().waiting() > kManyWaiting;
}

Task<std::error_code> Tables::release() {
  co_return co_await allocator.release(traffic_.oldest_active());
}

Task<std::error_code> Tables::settle() {
  eager_ = true;
  std::error_code error = co_await flush();
  while (!error && allocator.freed().waiting() > 0) {
    error = co_await allocator.release(traffic_.next_epoch() + 1);
    if (!error) error = co_await flush();
  }
  eager_ = false;
  co_return error;
}

}  // namespace vireo::blk::qcow2
