// Host clusters of a qcow2 image: reference counts, allocation, freeing.
//
// THE ORDER OF WRITES, for all files of this format. Guest data and metadata reach the disk so that
// at any moment the stored tables are free of corruption; what a crash may leave is only a leak (a
// reference count above the number of references). Tables::flush() (tables.h) does it:
//   0. In one moment without suspension: L2 slices and L1 entries that are dirty are captured; all
//      the data that they point to has been written by then (data is written before its L2 entry).
//   1. refcount blocks, then (after a flush) refcount table entries of new blocks
//   2. flush: counts are up, guest data and copied-on-write data are there
//   3. the captured L2 slices
//   4. flush, then captured L1 entries of new L2 tables
//   5. flush
//   6. Only now are clusters that step 3 or 4 unlinked let go: their counts go down, and they may
//      be used again, once no request is under way that began before (Traffic, traffic.h): such a
//      request may still read or write them through the old mapping.
// With lazy refcounts step 1 is left out and the dirty bit is on disk before step 3.
//
// Operations that change counts, COPIED flags and header together (snapshots) cannot be put into
// such an order: a count and a flag that contradict each other are a corruption. They work on a
// shadow, a copy of the whole refcount structure in free clusters, write their new tables beside
// the old ones, and let one write of the header, which names them all, make them valid.
//
// In files by their subject: refcounts.cc (the count of a cluster), refcount_table.cc (the blocks
// of counts and the table of them), allocator.cc (places for new clusters), release.cc (step 6),
// refcount_shadow.cc and refcount_width.cc (a structure that takes the place of another).
//
// Thread: the node's loop. Owns the refcount table and the cache of refcount blocks.
// Errors: those of the file, ENOSPC when it is full, EIO when the refcounts contradict the image.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "blockdev/format/qcow2/freed_clusters.h"
#include "blockdev/format/qcow2/image.h"
#include "blockdev/format/qcow2/slice_cache.h"

namespace vireo::blk::qcow2 {

// Host clusters in a row.
struct Run {
  uint64_t offset = 0;
  uint64_t clusters = 0;
  bool zeros = false;  // never written: reads as zeros
};

// A refcount structure to be built from cluster `first` on: its table, then its blocks.
struct RefcountArea {
  uint64_t first = 0;
  uint64_t table_clusters = 0;
  uint64_t clusters = 0;        // all of it
  std::vector<uint64_t> table;  // host offsets of the blocks
  uint64_t end() const noexcept { return first + clusters; }
};
// `needed`: the blocks that there must be; those that count the area itself come in addition.
RefcountArea place_refcounts(const Geometry& geometry, std::vector<bool> needed, uint64_t first);
// A refcount table as it is stored.
Buffer table_bytes(const std::vector<uint64_t>& table);

class Allocator {
  // Says that the mutex is held, so that those who cannot wait keep away.
  class Busy {
   public:
    explicit Busy(bool& flag) noexcept : flag_(flag) { flag_ = true; }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;
    ~Busy() { flag_ = false; }

   private:
    bool& flag_;
  };

 public:
  Allocator(Image& image, uint64_t cache_bytes);

  // Reads the refcount table. Images opened read-only do not need it.
  Task<std::error_code> load();

  // Between one and `clusters` clusters in a row, with count 1. Nothing refers to them yet.
  Task<Outcome<Run>> allocate(uint64_t clusters);
  // The same without suspension, when nothing has to be read or grown for it.
  std::optional<Run> allocate_now(uint64_t clusters);
  // Exactly `clusters` in a row, at the end of the image.
  Task<Outcome<Run>> allocate_contiguous(uint64_t clusters);
  // Room for a compressed cluster of `bytes` (at most a cluster); consecutive ones share clusters.
  Task<Outcome<uint64_t>> allocate_bytes(uint64_t bytes);
  // Takes back what was allocated and never referred to.
  Task<std::error_code> free_unused(uint64_t offset, uint64_t length);

  // All clusters that the range touches lose a reference, after the next flush (step 6).
  void free_later(uint64_t offset, uint64_t length) { freed_.add(offset, length); }
  FreedClusters& freed() noexcept { return freed_; }
  const FreedClusters& freed() const noexcept { return freed_; }
  // The counts of what no epoch before `oldest_active` can see go down.
  Task<std::error_code> release(uint64_t oldest_active);

  // Adds `delta` to the counts of all clusters that the range touches; EIO on overflow.
  Task<std::error_code> add(uint64_t offset, uint64_t length, int delta);
  Task<Outcome<uint64_t>> refcount(uint64_t offset);
  // Sets one count, for repair; the block must exist.
  Task<std::error_code> set(uint64_t cluster, uint64_t value);
  bool has_block(uint64_t cluster) const noexcept;

  // From here on counts change in a copy. What is allocated is free on disk until the header names
  // the copy (refcount_table() says where it is); then accept_shadow() lets the old structure and
  // all that drop() found unused go, with the next flush. abandon_shadow() forgets the copy.
  Task<std::error_code> begin_shadow();
  bool in_shadow() const noexcept { return shadow_.has_value(); }
  // One reference less for all clusters that the range touches. The last one stays until the shadow
  // is accepted, so that nothing the old tables need is used again before.
  Task<std::error_code> drop(uint64_t offset, uint64_t length);
  HostRange refcount_table() const noexcept { return table_at_; }
  void accept_shadow();
  void abandon_shadow();

  // Counts of 2^order bits from here on, on disk too. Nothing is dirty or waits to be freed.
  // EOVERFLOW when one is too large for that.
  Task<std::error_code> change_order(uint32_t order, ProgressFunction progress);

  // Step 1.
  bool has_dirty() const noexcept { return cache_.has_dirty() || !dirty_entries_.empty(); }
  Task<std::error_code> write_back();

  // The end of the last cluster in use, if it is known.
  std::optional<uint64_t> used_end() const noexcept;
  const std::vector<uint64_t>& table() const noexcept { return table_; }
  // Entries of the table that have reserved bits set.
  uint64_t odd_entries() const noexcept { return odd_entries_; }
  void replace_table(std::vector<uint64_t> table, HostRange at);  // after a rebuild
  // Looks for the end anew, after a shrink.
  Task<Outcome<uint64_t>> find_used_end();

 private:
  // What was in force before begin_shadow(), and what goes when it no longer is.
  struct Shadow {
    std::vector<uint64_t> table;
    HostRange table_at;
    std::optional<uint64_t> end;
    uint64_t scan = 0;
    std::vector<HostRange> unused;
  };
  uint64_t block_of(uint64_t cluster) const noexcept { return cluster / block_entries_; }
  uint64_t slice_of(uint64_t cluster) const noexcept;  // host offset; the block exists
  uint64_t index_in_slice(uint64_t cluster) const noexcept { return cluster % slice_entries_; }
  uint64_t get(const SliceCache::Slice& slice, uint64_t cluster) const noexcept;
  void put(SliceCache::Slice& slice, uint64_t cluster, uint64_t value);
  uint64_t free_run(const SliceCache::Slice& slice, uint64_t first, uint64_t end) const noexcept;
  Run take(SliceCache::Slice& slice, uint64_t first, uint64_t clusters);
  bool forbidden(uint64_t cluster, uint64_t clusters) const noexcept;

  Task<Outcome<SliceCache::Slice*>> slice(uint64_t cluster);
  Task<std::error_code> find_end();
  Task<std::error_code> skip_used();
  Task<Outcome<Run>> allocate_hole(uint64_t clusters);
  Task<Outcome<Run>> allocate_at_end(uint64_t clusters);
  Task<Outcome<Run>> allocate_locked(uint64_t clusters);
  Task<Outcome<Run>> contiguous_locked(uint64_t clusters);
  Task<Outcome<uint64_t>> place_bytes(uint64_t bytes);
  Task<std::error_code> ensure_block(uint64_t block);
  Task<std::error_code> create_block(uint64_t block);
  Task<std::error_code> grow_table(uint64_t entries);
  Task<std::error_code> install_table(std::vector<uint64_t> table, uint64_t first);
  Task<std::error_code> mark_used(uint64_t first, uint64_t count);
  Task<std::error_code> add_locked(uint64_t offset, uint64_t length, int delta);
  Task<std::error_code> write_entries();
  Task<Outcome<RefcountArea>> reserve_area(const Geometry& geometry, std::vector<bool> needed);
  Task<std::error_code> copy_structure();
  Task<std::error_code> copy_block(uint64_t block, const RefcountArea& area);
  // The refcount block that was read last, while counts of another width are made of all of them.
  struct OldBlock {
    uint64_t offset = 0;
    Buffer bytes;
  };
  void set_width() noexcept;
  std::vector<bool> blocks_needed(const Geometry& next) const;
  Task<Outcome<uint64_t>> stored_count(uint64_t cluster, OldBlock& block);
  Task<Outcome<uint64_t>> next_count(uint64_t cluster, const RefcountArea& area, OldBlock& block);
  Task<std::error_code> write_next_block(const Geometry& next, uint64_t number,
                                         const RefcountArea& area, OldBlock& block);
  Task<std::error_code> put_in_force(const Geometry& next, const RefcountArea& area);
  bool bad_block(uint64_t block) const noexcept;
  void note_blocks();
  Task<std::error_code> impossible_block(uint64_t block);
  Task<Outcome<std::vector<HostRange>>> last_references(const std::vector<HostRange>& ranges);
  Task<std::error_code> punch(std::vector<HostRange> ranges);

  Image& image_;
  const uint64_t cluster_bits_;
  uint64_t block_entries_ = 0;
  uint64_t slice_entries_ = 0;
  SliceCache cache_;
  std::vector<uint64_t> table_;  // host offsets of refcount blocks
  uint64_t odd_entries_ = 0;     // of it, as it was read
  HostRange table_at_;           // where it is stored
  std::optional<Shadow> shadow_;
  std::set<uint64_t> dirty_entries_;  // of table_
  AsyncMutex mutex_;                  // held while allocations and counts change over suspensions
  AsyncMutex writing_;                // one write-back at a time
  bool busy_ = false;                 // mutex_ is held
  uint64_t scan_ = 1;                 // clusters below are in use, as far as known
  std::optional<uint64_t> end_;       // the first cluster behind all that are in use
  uint64_t packed_ = 0;               // where the next compressed cluster may go; 0: nowhere
  FreedClusters freed_;
};

}  // namespace vireo::blk::qcow2
