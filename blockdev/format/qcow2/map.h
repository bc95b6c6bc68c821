// From guest offsets to host offsets: the L1 table, L2 tables through a cache of slices, lookups,
// and the changes of entries that writes, zeroing and discards make.
//
// Thread: the node's loop. What find() says is valid until the caller suspends; the cluster's claim
// (claims.h) keeps entries from being changed by others for longer. Owns the L1 table and the
// cache of L2 slices. Units: bytes. Errors: those of the file, EIO for impossible entries.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <vector>

#include "blockdev/format/qcow2/allocator.h"

namespace vireo::blk::qcow2 {

// A run of guest bytes of one kind.
struct Mapping {
  Kind kind = Kind::unallocated;
  bool in_place = false;    // data that may be overwritten where it is
  uint64_t host = 0;        // data: where the run begins
  uint64_t length = 0;      // of the run; at least 1
  uint64_t descriptor = 0;  // compressed: of the cluster
};

// A run of one kind, with the place that the host has for it, if it has: for zeros, too, and for
// what is not allocated beside allocated subclusters. Compressed data has none that could be told.
struct Layout {
  Kind kind = Kind::unallocated;
  bool zero = false;  // reads as zeros
  std::optional<uint64_t> host;
  uint64_t length = 0;
};

// Entries in a row of one slice.
struct EntryRange {
  uint64_t first_cluster = 0;  // guest cluster number
  std::vector<L2Entry> entries;
};

class Map {
 public:
  Map(Image& image, Allocator& allocator, uint64_t cache_bytes);

  Task<std::error_code> load();
  // Called when the cache holds nothing but dirty slices: writes them in the right order.
  void on_full(std::function<Task<std::error_code>()> flush) { flush_ = std::move(flush); }

  // The run at `guest`, up to `length` and not beyond the slice; nullopt when the slice must be
  // read first.
  std::optional<Mapping> find(uint64_t guest, uint64_t length) noexcept;
  Task<Outcome<Mapping>> lookup(uint64_t guest, uint64_t length);

  // The entries of up to `count` guest clusters, as far as the slice goes.
  Task<Outcome<EntryRange>> entries(uint64_t first_cluster, uint64_t count);
  // The run at `guest`, up to `length`. EIO for an impossible entry.
  Task<Outcome<Layout>> layout(uint64_t guest, uint64_t length);
  // Makes the L2 table of a guest offset exist and be the active image's alone.
  Task<std::error_code> prepare_table(uint64_t guest);
  // Changes entries of one slice, whose table is prepared. What the old entries alone referred to
  // is freed later.
  Task<std::error_code> replace(EntryRange range);
  // The end of the slice that maps `guest`.
  uint64_t slice_end(uint64_t guest) const noexcept;

  // Steps 0, 3 and 4 of the order of writes (allocator.h).
  struct Captured {
    std::vector<SliceCache::Captured> slices;
    std::set<uint64_t> l1_parts;
    std::vector<uint64_t> l1_entries;  // those parts, one after the other
    bool empty() const noexcept { return slices.empty() && l1_parts.empty(); }
  };
  bool has_dirty() const noexcept { return cache_.has_dirty() || !dirty_l1_.empty(); }
  Captured capture();
  Task<std::error_code> write_slices(Captured& captured);
  Task<std::error_code> write_l1(Captured& captured);
  // What was captured and not written becomes dirty again.
  void put_back(Captured& captured);

  // For operations that have the image for themselves (snapshot, resize).
  const std::vector<uint64_t>& l1() const noexcept { return l1_; }
  void set_l1_entry(uint64_t index, uint64_t entry);
  void replace_l1(std::vector<uint64_t> entries);  // as it is on disk
  // One slice of the L2 table at `table`, whoever it belongs to.
  Task<Outcome<SliceCache::Slice*>> slice_at(uint64_t offset);
  std::span<std::byte> edit(SliceCache::Slice& slice) { return cache_.edit(slice); }
  void forget_all() noexcept { cache_.clear(); }  // nothing is dirty
  L2Entry entry(const SliceCache::Slice& slice, uint64_t index) const noexcept;
  void store(std::span<std::byte> slice, uint64_t index, const L2Entry& entry) const noexcept;
  uint64_t slice_entries() const noexcept { return slice_entries_; }
  uint64_t table_offset(uint64_t l1_index) const noexcept;
  // No L2 table can be there.
  bool bad_table(uint64_t table) const noexcept;

 private:
  bool shared_place(uint64_t table) const noexcept;
  void note_tables();
  uint64_t slice_offset(uint64_t guest) const noexcept;
  Mapping run_of(const SliceCache::Slice& slice, uint64_t guest, uint64_t length) const noexcept;
  bool continues(const Mapping& run, const L2Entry& next, uint32_t subcluster,
                 uint64_t host) const noexcept;
  void free_entry(const L2Entry& old, const L2Entry& now);
  Task<std::error_code> new_table(uint64_t l1_index);
  Task<std::error_code> copy_table(uint64_t l1_index, uint64_t to);

  Image& image_;
  Allocator& allocator_;
  const Geometry geometry_;
  const uint64_t slice_entries_;
  SliceCache cache_;
  std::function<Task<std::error_code>()> flush_;
  std::vector<uint64_t> l1_;
  std::set<uint64_t> dirty_l1_;  // numbers of 512-byte parts (or the file's blocks)
  const uint64_t l1_part_;       // entries in a part
  AsyncMutex tables_;            // tables are made one at a time
};

}  // namespace vireo::blk::qcow2
