// Slices of metadata tables (L2 tables, refcount blocks) in memory, with write-back: found by host
// offset, the least recently used clean one leaves first. Knows nothing of what the bytes mean; the
// order in which dirty slices reach the disk is its owners' business (allocator.h).
//
// Thread: the node's loop. A Slice pointer is valid until the caller suspends. Memory: at most
// `max_bytes` of slices, plus those being loaded and copies of dirty ones being written.
// Errors: those of the file.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "blockdev/format/qcow2/host_file.h"

namespace vireo::blk::qcow2 {

class SliceCache {
 public:
  struct Slice {
    uint64_t offset = 0;
    std::shared_ptr<Buffer> bytes;  // shared while a write of it is under way
    bool dirty = false;
    uint32_t writers = 0;  // captured and not yet settled: stays here until then
    std::list<Slice*>::iterator place{};

    std::span<const std::byte> view() const noexcept { return std::as_const(*bytes).bytes(); }
  };
  // The content of a dirty slice at the moment of capture().
  struct Captured {
    uint64_t offset = 0;
    std::shared_ptr<Buffer> bytes;
  };

  // What loading and writing a slice is called.
  struct Events {
    DebugEvent load, update;
  };

  SliceCache(HostFile& file, Events events, uint32_t slice_size, uint64_t max_bytes);

  Slice* find(uint64_t offset) noexcept {
    const auto found = slices_.find(offset);
    if (found == slices_.end()) return nullptr;
    touch(found->second);
    return &found->second;
  }
  // Reads a slice in, unless it is there; find() it afterwards. One read serves all who ask.
  Task<std::error_code> fetch(uint64_t offset);
  // A slice whose content on disk is known to be zeros.
  Slice* insert_zeros(uint64_t offset);
  // To change it. The slice becomes dirty; a copy is made if it is being written.
  std::span<std::byte> edit(Slice& slice);

  // Evicts until one more fits; false when only dirty slices are left, which must be written first.
  bool make_room() noexcept;
  bool has_dirty() const noexcept { return !dirty_.empty(); }
  // All dirty slices in order of offset; they count as clean from now on.
  std::vector<Captured> capture();
  // Writes what was captured; slices whose write failed become dirty again.
  Task<std::error_code> write(std::vector<Captured> captured);
  // What was captured and will not be written becomes dirty again.
  void put_back(const std::vector<Captured>& captured) {
    for (const Captured& one : captured) settle(one, false);
  }
  // Drops the slices in a range that no longer holds a table.
  void forget(uint64_t offset, uint64_t length) noexcept;

  // Nothing is dirty and nothing under way.
  void clear() noexcept {
    slices_.clear();
    order_.clear();
  }

  uint32_t slice_size() const noexcept { return slice_size_; }
  uint64_t bytes_used() const noexcept { return slices_.size() * slice_size_; }

 private:
  struct Loading {
    Event done;
    std::error_code error;
    bool dropped = false;
  };
  Slice& insert(uint64_t offset, Buffer bytes);
  void touch(Slice& slice) noexcept;
  void erase(uint64_t offset) noexcept;
  void settle(const Captured& captured, bool written);
  Task<std::error_code> write_run(std::vector<Captured> run);

  HostFile& file_;
  const Events events_;
  const uint32_t slice_size_;
  const size_t max_slices_;
  SlicePool pool_;  // before what is taken from it
  std::unordered_map<uint64_t, Slice> slices_;
  std::unordered_map<uint64_t, std::shared_ptr<Loading>> loading_;
  std::list<Slice*> order_;      // most recently used first
  std::vector<uint64_t> dirty_;  // offsets that became dirty since the last capture; may be gone
};

}  // namespace vireo::blk::qcow2
