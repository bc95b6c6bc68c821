// Changing guest data: overwriting in place, allocating with copy-on-write, compressed writes,
// zeroing and discarding.
//
// An allocating write claims its clusters, allocates, writes the guest's bytes together with the
// copied ones in one request, and only then changes the L2 entries (in memory: allocator.h states
// the order on disk). Data I/O holds no lock but that claim.
//
// Thread: the node's loop. Errors: those of the files, ENOSPC, EIO for a damaged image.
#pragma once

#include "blockdev/format/qcow2/claims.h"
#include "blockdev/format/qcow2/reader.h"
#include "blockdev/format/qcow2/tables.h"
#include "blockdev/preallocation.h"

namespace vireo::blk::qcow2 {

class Writer {
 public:
  static constexpr size_t kParallelCopies = 16;

  Writer(Image& image, Tables& tables, Reader& reader);

  Task<std::error_code> write(uint64_t guest, IoVecs from);
  // One cluster (the last one of the disk may be shorter), stored compressed if that is smaller.
  Task<std::error_code> write_compressed(uint64_t guest, IoVecs from);
  Task<std::error_code> zero(uint64_t guest, uint64_t length, ZeroFlags flags);
  Task<std::error_code> discard(uint64_t guest, uint64_t length);
  // Allocates what is not allocated without writing data; `length` may be anything.
  Task<std::error_code> preallocate(uint64_t guest, uint64_t length, Preallocation how);

  // A run whose bytes may be written where they are.
  bool overwrites(const Mapping& run) const noexcept {
    return run.kind == Kind::data && run.in_place && guest_file_.contains(run.host, run.length) &&
           (image_.data || !image_.is_metadata(run.host, run.length));
  }

 private:
  // What one allocating write does: guest clusters in a row that get new host clusters, or whose
  // own are filled, with those between them that hold data already.
  struct Plan {
    uint64_t guest = 0, length = 0;  // the guest's bytes; length 0: nothing to allocate after all
    uint64_t start = 0, end = 0;     // those and what is copied around them
    EntryRange old;
    bool in_place = false;  // the host clusters are there
    uint64_t host = 0;      // of the first cluster
    bool zeros = false;     // the host clusters are known to read as zeros
  };
  // hold: also where the range reads as zeros already.
  // zero_unallocated: only what has no entry at all.
  enum class Change : uint8_t { zero, zero_and_unmap, zero_unallocated, hold };

  bool must_not_write(uint64_t host, uint64_t length) const noexcept;
  bool needs_cluster(const L2Entry& entry) const noexcept;
  bool valid(const L2Entry& entry) const noexcept;
  bool known_zero(const L2Entry& entry) const noexcept;
  Plan plan(uint64_t guest, uint64_t length, EntryRange old) const;
  void plan_new(Plan& plan) const;
  void plan_in_place(Plan& plan) const;
  bool fills(const L2Entry& entry, uint64_t host) const noexcept;
  Task<Outcome<bool>> continues(uint64_t guest, uint64_t host);
  void shorten(Plan& plan, uint64_t clusters) const;
  EntryRange linked(const Plan& plan) const;

  Task<Outcome<uint64_t>> write_allocating(uint64_t guest, IoVecs from);
  Task<std::error_code> find_place(Plan& plan);
  Task<std::error_code> write_bytes(uint64_t host, IoVecs from);
  Task<std::error_code> write_data(const Plan& plan, IoVecs from);
  Task<Outcome<Buffer>> copied(uint64_t guest, uint64_t length, const L2Entry& old, bool needed);
  Task<std::error_code> write_zeros(uint64_t guest, uint64_t length, Change how);
  Task<std::error_code> zero_some(uint64_t guest, uint64_t end, Change how);
  Task<bool> shows_zeros(uint64_t guest, uint64_t end);
  Task<std::error_code> zero_part(uint64_t guest, uint64_t length, Change how);
  Task<std::error_code> zero_granules(uint64_t guest, uint64_t end, Change how);
  Task<std::error_code> change(uint64_t guest, uint64_t length, Change how);
  Task<Outcome<uint64_t>> change_some(uint64_t guest, uint64_t length, Change how);
  Change change_of(ZeroFlags flags) const noexcept;
  bool needs_zeros(Change how) const noexcept;
  uint64_t unchanged_by_zeroing(uint64_t guest, uint64_t length, Change how) const noexcept;
  L2Entry zeroed(const L2Entry& old, uint64_t mask, Change how) const noexcept;
  Task<std::error_code> zero_data_file(uint64_t guest, uint64_t length, Change how);
  Task<Outcome<bool>> store_compressed(uint64_t guest, std::span<const std::byte> packed);
  Task<std::error_code> write_bytes(uint64_t offset, std::span<const std::byte> bytes);
  Task<Outcome<uint64_t>> preallocate_some(uint64_t guest, uint64_t length, Preallocation how);
  Task<std::error_code> fill(Run run, Preallocation how);

  Image& image_;
  Tables& tables_;
  Map& map_;
  Reader& reader_;
  HostFile& guest_file_;
  const Geometry geometry_;
  Claims claims_;
  Semaphore copies_{kParallelCopies};  // each of up to two clusters
  AsyncMutex packing_;                 // compressed pieces that share a block of the file
};

}  // namespace vireo::blk::qcow2
