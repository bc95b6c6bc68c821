#include "blockdev/job/source.h"

#include <algorithm>

namespace vireo::blk {

void Source::add(Disk& disk) {
  add(disk, 0, (disk.limits().size + kSector - 1) / kSector * kSector);
}

void Source::add(Disk& disk, uint64_t offset, uint64_t length) {
  if (length == 0) return;
  parts_.push_back({&disk, size_, offset, length});
  size_ += length;
  buffer_alignment_ = std::max(buffer_alignment_, disk.limits().buffer_alignment);
}

// How many bytes the disk has at `from`, an offset in the part.
uint64_t Source::Part::on_disk(uint64_t from) const noexcept {
  const uint64_t size = disk->limits().size;
  return offset + from < size ? std::min(size - offset - from, length - from) : 0;
}

const Source::Part& Source::part_at(uint64_t offset) const noexcept {
  const auto after =
      std::upper_bound(parts_.begin(), parts_.end(), offset,
                       [](uint64_t where, const Part& part) { return where < part.start; });
  return *std::prev(after);
}

Task<Extent> Source::extent(uint64_t offset, uint64_t length) {
  if (offset >= size_) co_return Extent{.length = length, .data = false, .zero = true};
  const Part& part = part_at(offset);
  const uint64_t from = offset - part.start;
  length = std::min(length, part.length - from);
  const uint64_t there = part.on_disk(from);
  if (there == 0) co_return Extent{.length = length, .data = false, .zero = true};
  co_return co_await part.disk->extent(part.offset + from, std::min(length, there));
}

Task<std::error_code> Source::read_part(const Part& part, uint64_t from, IoVecs into) {
  const uint64_t length = total_length(into);
  const uint64_t there = std::min(part.on_disk(from), length);
  if (there < length) {
    IoVecs beyond = slice(into, there, length - there);
    fill_zero(beyond);
    if (there == 0) co_return std::error_code{};
    into = slice(into, 0, there);
  }
  co_return co_await part.disk->read(part.offset + from, std::move(into));
}

Task<std::error_code> Source::read(uint64_t offset, IoVecs into) {
  const uint64_t length = total_length(into);
  std::error_code error;
  for (uint64_t done = 0; done < length && !error;) {
    if (offset + done >= size_) {
      fill_zero(slice(into, done, length - done));
      break;
    }
    const Part& part = part_at(offset + done);
    const uint64_t from = offset + done - part.start;
    const uint64_t some = std::min(length - done, part.length - from);
    IoVecs piece = some == length ? into : slice(into, done, some);
    error = co_await read_part(part, from, std::move(piece));
    done += some;
  }
  co_return error;
}

void Source::hurry() const {
  for (const Part& part : parts_) part.disk->hurry();
}

}  // namespace vireo::blk
