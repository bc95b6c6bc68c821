#include "blockdev/format/raw.h"

#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

void check_window(const Limits& below, const RawWindow& window) {
  if (window.offset % below.block != 0)
    throw ConfigError(
        fmt::format("a raw window cannot start at byte {}; its offset has to be a multiple of {}",
                    window.offset, below.block));
  if (window.offset > below.size || window.size > below.size - window.offset)
    throw ConfigError(
        fmt::format("a raw window of {} bytes at offset {} does not fit into {} bytes; make it "
                    "smaller or the image larger",
                    window.size, window.offset, below.size));
}

}  // namespace

RawNode::RawNode(std::unique_ptr<Node> below, RawWindow window)
    : below_(std::move(below)),
      start_(window.offset),
      resizable_(window.size == 0),
      limits_(below_->limits()) {
  check_window(below_->limits(), window);
  limits_.size = resizable_ ? below_->limits().size - start_ : window.size;
}

Task<std::error_code> RawNode::read(uint64_t offset, IoVecs into) {
  Task<std::error_code> request = below_->read(start_ + offset, std::move(into));
  return after(debugger(), DebugEvent::read_aio, std::move(request));
}

Task<std::error_code> RawNode::write(uint64_t offset, IoVecs from, WriteFlags flags) {
  Task<std::error_code> request = below_->write(start_ + offset, std::move(from), flags);
  return after(debugger(), DebugEvent::write_aio, std::move(request));
}

Task<std::error_code> RawNode::flush() {
  return below_->flush();
}

Task<std::error_code> RawNode::discard(uint64_t offset, uint64_t length) {
  return below_->discard(start_ + offset, length);
}

Task<std::error_code> RawNode::zero(uint64_t offset, uint64_t length, ZeroFlags flags) {
  return below_->zero(start_ + offset, length, flags);
}

Task<std::error_code> RawNode::resize(uint64_t size) {
  if (!resizable_) co_return Refusal::window_keeps_size;
  const std::error_code error = co_await below_->resize(start_ + size);
  if (!error) limits_.size = size;
  co_return error;
}

Task<Extent> RawNode::extent(uint64_t offset, uint64_t length) {
  return below_->extent(start_ + offset, length);
}

Task<std::error_code> RawNode::close() {
  return below_->close();
}

}  // namespace vireo::blk
