#include "blockdev/job/layers.h"

#include <algorithm>

namespace vireo::blk {

uint32_t Layers::buffer_alignment() const noexcept {
  uint32_t alignment = 1;
  for (const Disk* disk : disks_) alignment = std::max(alignment, disk->limits().buffer_alignment);
  return alignment;
}

Task<LayerExtent> Layers::find(uint64_t offset, uint64_t length) {
  for (Disk* disk : disks_) {
    const uint64_t size = disk->limits().size;
    if (offset >= size) co_return LayerExtent{.length = length, .held = true};
    length = std::min(length, size - offset);
    const Extent extent = co_await disk->extent(offset, length);
    length = std::min(length, extent.length);
    if (extent.allocated)
      co_return LayerExtent{.length = length, .held = true, .disk = extent.zero ? nullptr : disk};
  }
  co_return LayerExtent{.length = length};
}

}  // namespace vireo::blk
