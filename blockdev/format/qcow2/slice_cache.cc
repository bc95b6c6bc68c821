#include "blockdev/format/qcow2/slice_cache.h"

#include <algorithm>

namespace vireo::blk::qcow2 {

namespace {

// Enough for every coroutine of a deep queue to make progress.
constexpr size_t kMinSlices = 32;
constexpr size_t kMaxRun = 64;  // slices in one write
constexpr size_t kParallelWrites = 16;

}  // namespace

SliceCache::SliceCache(HostFile& file, Events events, uint32_t slice_size, uint64_t max_bytes)
    : file_(file),
      events_(events),
      slice_size_(slice_size),
      max_slices_(std::max<size_t>(kMinSlices, max_bytes / slice_size)),
      pool_(slice_size) {}

void SliceCache::touch(Slice& slice) noexcept {
  if (slice.place != order_.begin()) order_.splice(order_.begin(), order_, slice.place);
}

SliceCache::Slice& SliceCache::insert(uint64_t offset, Buffer bytes) {
  Slice& slice = slices_[offset];
  slice.offset = offset;
  slice.bytes = std::make_shared<Buffer>(std::move(bytes));
  slice.place = order_.insert(order_.begin(), &slice);
  return slice;
}

void SliceCache::erase(uint64_t offset) noexcept {
  const auto found = slices_.find(offset);
  order_.erase(found->second.place);
  slices_.erase(found);
}

Task<std::error_code> SliceCache::fetch(uint64_t offset) {
  if (find(offset) != nullptr) co_return std::error_code{};
  if (const auto under_way = loading_.find(offset); under_way != loading_.end()) {
    const std::shared_ptr<Loading> other = under_way->second;
    co_await other->done.wait();
    co_return other->error;
  }
  const auto loading = std::make_shared<Loading>();
  loading_.emplace(offset, loading);
  Buffer bytes = pool_.take();
  if (Debugger* const debugger = file_.debugger()) co_await debugger->at(events_.load);
  loading->error = co_await file_.read(offset, bytes);
  loading_.erase(offset);
  if (!loading->error && !loading->dropped && !slices_.contains(offset))
    insert(offset, std::move(bytes));
  loading->done.set();
  co_return loading->error;
}

SliceCache::Slice* SliceCache::insert_zeros(uint64_t offset) {
  if (Slice* old = find(offset)) return old;
  if (const auto under_way = loading_.find(offset); under_way != loading_.end())
    under_way->second->dropped = true;
  return &insert(offset, pool_.zeros());
}

std::span<std::byte> SliceCache::edit(Slice& slice) {
  if (slice.bytes.use_count() > 1)
    slice.bytes = std::make_shared<Buffer>(pool_.copy_of(slice.view()));
  if (!slice.dirty) {
    slice.dirty = true;
    dirty_.push_back(slice.offset);
  }
  return slice.bytes->bytes();
}

bool SliceCache::make_room() noexcept {
  auto at = order_.end();
  while (slices_.size() + loading_.size() >= max_slices_ && at != order_.begin()) {
    --at;
    const Slice& slice = **at;
    if (slice.dirty || slice.writers > 0) continue;
    const uint64_t offset = slice.offset;
    ++at;  // stays valid; the element before it goes
    erase(offset);
  }
  return slices_.size() + loading_.size() < max_slices_ || slices_.empty();
}

std::vector<SliceCache::Captured> SliceCache::capture() {
  std::vector<uint64_t> offsets = std::exchange(dirty_, {});
  std::sort(offsets.begin(), offsets.end());
  offsets.erase(std::unique(offsets.begin(), offsets.end()), offsets.end());
  std::vector<Captured> captured;
  for (const uint64_t offset : offsets) {
    const auto found = slices_.find(offset);
    if (found == slices_.end() || !found->second.dirty) continue;
    found->second.dirty = false;
    ++found->second.writers;
    captured.push_back({offset, found->second.bytes});
  }
  return captured;
}

void SliceCache::settle(const Captured& captured, bool written) {
  const auto found = slices_.find(captured.offset);
  if (found == slices_.end() || found->second.writers == 0) return;
  --found->second.writers;
  if (written || found->second.dirty) return;
  found->second.dirty = true;
  dirty_.push_back(captured.offset);
}

Task<std::error_code> SliceCache::write_run(std::vector<Captured> run) {
  IoVecs vectors;
  for (const Captured& captured : run) vectors.push_back(captured.bytes->vector());
  const uint64_t offset = run.front().offset;
  if (Debugger* const debugger = file_.debugger()) co_await debugger->at(events_.update);
  const std::error_code error = co_await file_.write(offset, std::move(vectors));
  for (const Captured& captured : run) settle(captured, !error);
  co_return error;
}

Task<std::error_code> SliceCache::write(std::vector<Captured> captured) {
  Gather gather(kParallelWrites);
  for (size_t first = 0; first < captured.size();) {
    size_t end = first + 1;
    while (end < captured.size() && end - first < kMaxRun &&
           captured[end].offset == captured[end - 1].offset + slice_size_)
      ++end;
    std::vector<Captured> run(captured.begin() + static_cast<ptrdiff_t>(first),
                              captured.begin() + static_cast<ptrdiff_t>(end));
    Task<std::error_code> task = write_run(std::move(run));
    co_await gather.add(std::move(task));
    first = end;
  }
  co_return co_await gather.done();
}

void SliceCache::forget(uint64_t offset, uint64_t length) noexcept {
  for (uint64_t at = offset; at < offset + length; at += slice_size_) {
    if (slices_.contains(at)) erase(at);
    if (const auto under_way = loading_.find(at); under_way != loading_.end())
      under_way->second->dropped = true;
  }
}

}  // namespace vireo::blk::qcow2
