#include "blockdev/protocol/null.h"

namespace vireo::blk {

Task<std::error_code> NullNode::read(uint64_t, IoVecs into) {
  fill_zero(into);
  co_return std::error_code{};
}

Task<std::error_code> NullNode::write(uint64_t, IoVecs, WriteFlags) {
  co_return std::error_code{};
}

Task<std::error_code> NullNode::flush() {
  co_return std::error_code{};
}

Task<std::error_code> NullNode::zero(uint64_t, uint64_t, ZeroFlags) {
  co_return std::error_code{};
}

Task<std::error_code> NullNode::resize(uint64_t size) {
  limits_.size = size;
  co_return std::error_code{};
}

Task<Extent> NullNode::extent(uint64_t, uint64_t length) {
  co_return Extent{.length = length, .data = false, .zero = true};
}

}  // namespace vireo::blk
