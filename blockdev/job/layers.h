// A chain of images as a job sees it that must know which of them holds what: each is opened
// without its backing image, the outermost comes first.
//
// Thread: the disks' loop; they outlive this. Units: bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "blockdev/disk.h"

namespace vireo::blk {

struct LayerExtent {
  uint64_t length = 0;   // from the asked offset on
  bool held = false;     // one of the layers holds it; otherwise what is below them shows
  Disk* disk = nullptr;  // where it is to be read; nullptr: it reads as zeros
};

class Layers {
 public:
  Layers() = default;
  explicit Layers(std::vector<Disk*> disks) : disks_(std::move(disks)) {}
  // The disk's size is that of the outermost layer.
  uint64_t size() const noexcept { return disks_.front()->limits().size; }
  bool empty() const noexcept { return disks_.empty(); }
  uint32_t buffer_alignment() const noexcept;
  // What lies at `offset`, up to `length`: one run. Beyond the end of an inner layer nothing shows
  // of those below it.
  Task<LayerExtent> find(uint64_t offset, uint64_t length);

 private:
  std::vector<Disk*> disks_;
};

}  // namespace vireo::blk
