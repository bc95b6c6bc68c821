#include "blockdev/filter/overlay.h"

#include <algorithm>
#include <utility>

#include "blockdev/buffer.h"

namespace vireo::blk {

namespace {

constexpr uint64_t kGranule = OverlayNode::kGranule;

uint64_t granule_of(uint64_t offset) noexcept {
  return offset / kGranule;
}
uint64_t granules_up(uint64_t offset) noexcept {
  return (offset + kGranule - 1) / kGranule;
}

Limits limits_over(const Limits& base, const Limits& upper) noexcept {
  return Limits{
      .size = base.size,
      .block = std::max(base.block, upper.block),
      .buffer_alignment = std::max(base.buffer_alignment, upper.buffer_alignment),
      .logical_block = base.logical_block,
      .optimal_block = std::max<uint32_t>(base.optimal_block, kGranule),
      .read_only = false,
      .can_discard = upper.can_discard,
      .can_zero = upper.can_zero,
  };
}

}  // namespace

bool GranuleSet::has(uint64_t granule) const noexcept {
  const auto found = pieces_.find(granule / kPiece);
  return found != pieces_.end() && found->second->test(granule % kPiece);
}

GranuleSet::Run GranuleSet::run(uint64_t first, uint64_t end) const noexcept {
  const bool present = has(first);
  end = std::min(end, (first / kPiece + kMostPieces) * kPiece);
  uint64_t at = first;
  while (at < end) {
    const uint64_t piece_end = std::min(end, (at / kPiece + 1) * kPiece);
    const auto found = pieces_.find(at / kPiece);
    if (found == pieces_.end()) {
      if (present) break;
      at = piece_end;
      continue;
    }
    while (at < piece_end && found->second->test(at % kPiece) == present) ++at;
    if (at < piece_end) break;
  }
  return {present, at};
}

void GranuleSet::add(uint64_t first, uint64_t end) {
  for (uint64_t at = first; at < end;) {
    std::unique_ptr<std::bitset<kPiece>>& piece = pieces_[at / kPiece];
    if (!piece) piece = std::make_unique<std::bitset<kPiece>>();
    const uint64_t piece_end = std::min(end, (at / kPiece + 1) * kPiece);
    for (; at < piece_end; ++at) piece->set(at % kPiece);
  }
}

OverlayNode::OverlayNode(std::unique_ptr<Node> base, std::unique_ptr<Node> upper)
    : base_(std::move(base)),
      upper_(std::move(upper)),
      limits_(limits_over(base_->limits(), upper_->limits())),
      base_size_(limits_.size) {}

// The end of the disk ends its last granule too.
bool OverlayNode::covers_granules(uint64_t offset, uint64_t length) const noexcept {
  const uint64_t end = offset + length;
  return offset % kGranule == 0 && (end % kGranule == 0 || end >= limits_.size);
}

// What lies beyond the visible part of the base reads as zeros. The base is asked for whole blocks.
Task<std::error_code> OverlayNode::read_base(uint64_t offset, IoVecs into) {
  const uint64_t length = total_length(into);
  const uint64_t visible = offset < base_size_ ? std::min(length, base_size_ - offset) : 0;
  const uint64_t block = base_->limits().block;
  const uint64_t asked = std::min(length, (visible + block - 1) / block * block);
  if (asked > 0) {
    IoVecs part = slice(into, 0, asked);
    const std::error_code error = co_await base_->read(offset, std::move(part));
    if (error) co_return error;
  }
  fill_zero(slice(into, visible, length - visible));
  co_return std::error_code{};
}

Task<std::error_code> OverlayNode::read(uint64_t offset, IoVecs into) {
  const uint64_t end = offset + total_length(into);
  for (uint64_t at = offset; at < end;) {
    const GranuleSet::Run run = written_.run(granule_of(at), granules_up(end));
    const uint64_t run_end = std::min(end, run.end * kGranule);
    IoVecs part = slice(into, at - offset, run_end - at);
    std::error_code error;
    if (run.present)
      error = co_await upper_->read(at, std::move(part));
    else
      error = co_await read_base(at, std::move(part));
    if (error) co_return error;
    at = run_end;
  }
  co_return std::error_code{};
}

Task<std::error_code> OverlayNode::copy_up(uint64_t granule) {
  const Buffer buffer{kGranule, limits_.buffer_alignment};
  if (!buffer) co_return std::make_error_code(std::errc::not_enough_memory);
  IoVecs into = buffer.vectors(0, kGranule);
  std::error_code error = co_await read_base(granule * kGranule, std::move(into));
  if (error) co_return error;
  IoVecs from = buffer.vectors(0, kGranule);
  error = co_await upper_->write(granule * kGranule, std::move(from), WriteFlags{});
  if (!error) written_.add(granule, granule + 1);
  co_return error;
}

// The granules that [offset, offset + length) covers only in part.
Task<std::error_code> OverlayNode::copy_up_edges(uint64_t offset, uint64_t length) {
  const uint64_t end = offset + length;
  const uint64_t head = granule_of(offset);
  const uint64_t tail = granule_of(end);
  std::error_code error;
  if (offset % kGranule != 0 && !written_.has(head)) error = co_await copy_up(head);
  if (!error && end % kGranule != 0 && !written_.has(tail)) error = co_await copy_up(tail);
  co_return error;
}

Task<std::error_code> OverlayNode::write(uint64_t offset, IoVecs from, WriteFlags) {
  const uint64_t length = total_length(from);
  const uint64_t first = granule_of(offset);
  const uint64_t last = granules_up(offset + length);
  const bool whole = covers_granules(offset, length);
  RangeLock::Hold hold{ranges_, first, last,
                       whole ? RangeLock::Mode::shared : RangeLock::Mode::exclusive};
  co_await hold.acquire();
  std::error_code error;
  if (!whole) error = co_await copy_up_edges(offset, length);
  if (!error) error = co_await upper_->write(offset, std::move(from), WriteFlags{});
  if (!error) written_.add(first, last);
  co_return error;
}

Task<std::error_code> OverlayNode::zero(uint64_t offset, uint64_t length, ZeroFlags) {
  const uint64_t first = granule_of(offset);
  const uint64_t last = granules_up(offset + length);
  const bool whole = covers_granules(offset, length);
  RangeLock::Hold hold{ranges_, first, last,
                       whole ? RangeLock::Mode::shared : RangeLock::Mode::exclusive};
  co_await hold.acquire();
  std::error_code error;
  if (!whole) error = co_await copy_up_edges(offset, length);
  if (!error) error = co_await upper_->zero(offset, length, ZeroFlags{.may_unmap = true});
  if (!error) written_.add(first, last);
  co_return error;
}

Task<std::error_code> OverlayNode::flush() {
  co_return std::error_code{};
}

Task<std::error_code> OverlayNode::discard(uint64_t offset, uint64_t length) {
  const uint64_t end = offset + length;
  const uint64_t first = granules_up(offset) * kGranule;
  const uint64_t last = end >= limits_.size ? end : end / kGranule * kGranule;
  if (first >= last) co_return std::error_code{};
  const std::error_code error = co_await zero(first, last - first, ZeroFlags{.may_unmap = true});
  co_return error;
}

Task<std::error_code> OverlayNode::resize(uint64_t size) {
  const std::error_code error = co_await upper_->resize(size);
  if (error) co_return error;
  base_size_ = std::min(base_size_, size);
  limits_.size = size;
  co_return std::error_code{};
}

Task<Extent> OverlayNode::extent(uint64_t offset, uint64_t length) {
  const uint64_t end = offset + length;
  const GranuleSet::Run run = written_.run(granule_of(offset), granules_up(end));
  const uint64_t run_end = std::min(end, run.end * kGranule);
  if (run.present) co_return co_await upper_->extent(offset, run_end - offset);
  if (offset >= base_size_)
    co_return Extent{.length = run_end - offset, .data = false, .zero = true, .allocated = false};
  const uint64_t block = base_->limits().block;
  const uint64_t seen = std::min(run_end, base_size_) - offset;
  Extent found = co_await base_->extent(offset, (seen + block - 1) / block * block);
  found.length = std::min(found.length, run_end - offset);
  found.allocated = false;
  co_return found;
}

Task<std::error_code> OverlayNode::close() {
  const std::error_code error = co_await upper_->close();
  const std::error_code base_error = co_await base_->close();
  co_return error ? error : base_error;
}

void OverlayNode::hurry() {
  base_->hurry();
  upper_->hurry();
}

}  // namespace vireo::blk
