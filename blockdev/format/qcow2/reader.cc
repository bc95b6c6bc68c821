#include "blockdev/format/qcow2/reader.h"

#include <algorithm>

namespace vireo::blk::qcow2 {

namespace {

constexpr size_t kParallelPieces = 16;

}  // namespace

Reader::Reader(Image& image, Map& map, std::unique_ptr<Node> backing)
    : image_(image),
      map_(map),
      guest_file_(image.guest_file()),
      backing_(std::move(backing)),
      decompressor_(image) {}

// Beyond the end of this disk nothing of the backing image shows.
uint64_t Reader::backing_size() const noexcept {
  return backing_ ? std::min(backing_->limits().size, image_.header.size) : 0;
}

Task<std::error_code> Reader::read_backing(uint64_t guest, IoVecs into) {
  const uint64_t length = total_length(into);
  const uint64_t size = backing_size();
  const uint64_t there = guest < size ? std::min(length, size - guest) : 0;
  if (there < length) {
    IoVecs beyond = slice(into, there, length - there);
    fill_zero(beyond);
    if (there == 0) co_return std::error_code{};
    into = slice(into, 0, there);
  }
  co_return co_await backing_->read(guest, std::move(into));
}

Task<std::error_code> Reader::read_run(Mapping run, uint64_t guest, IoVecs into) {
  Debugger* const debugger = image_.file.debugger();
  switch (run.kind) {
    case Kind::data:
      if (debugger != nullptr) co_await debugger->at(DebugEvent::read_aio);
      co_return co_await guest_file_.read(run.host, std::move(into));
    case Kind::compressed: {
      if (debugger != nullptr) co_await debugger->at(DebugEvent::read_compressed);
      const uint64_t in_cluster = image_.geometry.in_cluster(guest);
      co_return co_await decompressor_.read(run.descriptor, in_cluster, std::move(into));
    }
    case Kind::unallocated:
      if (debugger != nullptr) co_await debugger->at(DebugEvent::read_backing_aio);
      co_return co_await read_backing(guest, std::move(into));
    case Kind::zero:
      fill_zero(into);
      co_return std::error_code{};
    case Kind::invalid:
      break;
  }
  co_return io_error();
}

Task<std::error_code> Reader::read(uint64_t guest, IoVecs into) {
  const uint64_t length = total_length(into);
  Gather gather(kParallelPieces);
  std::error_code error;
  for (uint64_t done = 0; done < length && !gather.error();) {
    const Outcome<Mapping> run = co_await map_.lookup(guest + done, length - done);
    error = run.error;
    if (error) break;
    if (run.value.length == length) co_return co_await read_run(run.value, guest, std::move(into));
    IoVecs part = slice(into, done, run.value.length);
    Task<std::error_code> task = read_run(run.value, guest + done, std::move(part));
    co_await gather.add(std::move(task));
    done += run.value.length;
  }
  const std::error_code first = co_await gather.done();
  co_return error ? error : first;
}

Task<Outcome<bool>> Reader::reads_zero(uint64_t guest, uint64_t length) {
  const uint64_t size = image_.header.size;
  const bool behind = guest >= size;  // what is kept behind the disk
  const uint64_t end = behind ? guest + length : std::min(guest + length, size);
  while (guest < end) {
    const Outcome<Mapping> run = co_await map_.lookup(guest, end - guest);
    if (run.error) co_return Outcome<bool>{run.error};
    const bool shows_nothing = run.value.kind == Kind::unallocated && guest >= backing_size();
    if (run.value.kind != Kind::zero && !shows_nothing) co_return Outcome<bool>{};
    guest += run.value.length;
  }
  co_return Outcome<bool>{{}, true};
}

// What the backing image says of a range that this image does not hold.
Task<Extent> Reader::backing_extent(uint64_t guest, uint64_t length) {
  const uint64_t size = backing_size();
  if (guest >= size)
    co_return Extent{.length = length, .data = false, .zero = true, .allocated = false};
  Extent extent = co_await backing_->extent(guest, std::min(length, size - guest));
  extent.allocated = false;
  co_return extent;
}

Task<Extent> Reader::extent(uint64_t guest, uint64_t length) {
  const Outcome<Mapping> run = co_await map_.lookup(guest, length);
  if (run.error) co_return Extent{.length = length};  // reading it will tell the error
  if (run.value.kind == Kind::unallocated)
    co_return co_await backing_extent(guest, run.value.length);
  if (run.value.kind == Kind::data && image_.data_may_have_holes()) {
    Extent extent = co_await guest_file_.node().extent(run.value.host, run.value.length);
    extent.length = std::min(extent.length, run.value.length);
    co_return extent;
  }
  const bool zero = run.value.kind == Kind::zero;
  co_return Extent{.length = run.value.length, .data = !zero, .zero = zero};
}

}  // namespace vireo::blk::qcow2
