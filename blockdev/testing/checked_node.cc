#include "blockdev/testing/checked_node.h"

#include <utility>

#include "vmm/base/error.h"

namespace vireo::blk::testing {

// These checks abort rather than fail a REQUIRE: an exception must not leave the data path.
void CheckedNode::check_range(uint64_t offset, uint64_t length) const {
  const uint64_t block = limits().block;
  const uint64_t end = (limits().size + block - 1) / block * block;
  VMM_CHECK(offset % block == 0 && length % block == 0, "a request consists of whole blocks");
  VMM_CHECK(length > 0, "an empty request does not reach a node");
  VMM_CHECK(may_grow_ || (offset <= end && length <= end - offset), "a request lies inside");
}

void CheckedNode::check_buffers(const IoVecs& vectors) const {
  const uintptr_t mask = limits().buffer_alignment - 1;
  for (const iovec& vector : vectors)
    VMM_CHECK(((reinterpret_cast<uintptr_t>(vector.iov_base) | vector.iov_len) & mask) == 0,
              "buffers are aligned as the node wants them");
}

Task<std::error_code> CheckedNode::read(uint64_t offset, IoVecs into) {
  ++counts_.reads;
  check_range(offset, total_length(into));
  check_buffers(into);
  return below_->read(offset, std::move(into));
}

Task<std::error_code> CheckedNode::write(uint64_t offset, IoVecs from, WriteFlags flags) {
  ++counts_.writes;
  check_range(offset, total_length(from));
  check_buffers(from);
  return below_->write(offset, std::move(from), flags);
}

Task<std::error_code> CheckedNode::flush() {
  ++counts_.flushes;
  return below_->flush();
}

Task<std::error_code> CheckedNode::discard(uint64_t offset, uint64_t length) {
  ++counts_.discards;
  check_range(offset, length);
  return below_->discard(offset, length);
}

Task<std::error_code> CheckedNode::zero(uint64_t offset, uint64_t length, ZeroFlags flags) {
  ++counts_.zeroes;
  check_range(offset, length);
  return below_->zero(offset, length, flags);
}

Task<std::error_code> CheckedNode::resize(uint64_t size) {
  return below_->resize(size);
}

Task<Extent> CheckedNode::extent(uint64_t offset, uint64_t length) {
  check_range(offset, length);
  return below_->extent(offset, length);
}

Task<std::error_code> CheckedNode::close() {
  ++counts_.closes;
  return below_->close();
}

}  // namespace vireo::blk::testing
