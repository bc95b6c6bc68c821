// What a qcow2 image says of itself, in the words of all formats. Pure; any thread.
#pragma once

#include <vector>

#include "blockdev/format/image.h"
#include "blockdev/format/qcow2/bitmap_directory.h"
#include "blockdev/format/qcow2/snapshots.h"

namespace vireo::blk::qcow2 {

ImageBitmaps listed(const std::vector<BitmapInfo>& bitmaps);
ImageFacts facts_of(const Header& header, const std::vector<SnapshotInfo>& snapshots,
                    const std::vector<BitmapInfo>& bitmaps);

}  // namespace vireo::blk::qcow2
