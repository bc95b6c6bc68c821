// What all parts of an open qcow2 image share: its file, its external data file, its header and the
// writing of header fields, the dirty and corrupt bits.
//
// Thread: the node's loop. Owns the files. Errors: those of the file.
#pragma once

#include <memory>
#include <string>

#include "blockdev/format/qcow2/header.h"
#include "blockdev/format/qcow2/host_file.h"
#include "blockdev/format/qcow2/place_sets.h"
#include "blockdev/host.h"

namespace vireo::blk::qcow2 {

class Image {
 public:
  // `first_cluster`: as much of the file's start as the header was parsed from.
  Image(Host host, std::string name, std::unique_ptr<Node> file, Header header,
        std::span<const std::byte> first_cluster, bool read_only);

  const Host host;
  const std::string name;
  HostFile file;
  std::unique_ptr<HostFile> data;  // external data file, or null
  Header header;
  Geometry geometry;
  const bool read_only;

  // What is not allocated shows another image. It need not be open: then it reads as zeros.
  bool has_backing() const noexcept { return other_backing || !header.backing_file.empty(); }
  bool other_backing = false;  // one that the header does not name
  // Where guest clusters lie.
  HostFile& guest_file() noexcept { return data ? *data : file; }
  // Clusters may be allocated and never have been written: only the file can tell.
  bool data_may_have_holes() const noexcept { return data || file.node().limits().sparse; }

  // Writes the fields of `header`, in one sector; does not flush.
  Task<std::error_code> write_fields();
  // Lets the size, the places of all tables and the width of counts be those of `next`, on disk,
  // with a flush, before this returns. After a failure they are the old ones again; when even that
  // cannot be written, nobody knows which are in force, and the image takes no more writes.
  Task<std::error_code> publish(Header next);
  // Writes fields, extensions and backing file name; does not flush.
  Task<std::error_code> write_header();
  // The dirty bit ("refcounts may be wrong"): on disk, with a flush, before this returns.
  // Version 2 has no such bit; nothing happens then.
  Task<std::error_code> set_dirty(bool dirty);
  // Something in the image contradicts itself: tells the log, sets the corrupt bit if the image is
  // writable, and refuses all writes from now on. Gives EIO to pass on.
  Task<std::error_code> corrupt(std::string why);
  bool is_corrupt() const noexcept { return corrupt_; }
  void clear_corrupt() noexcept { corrupt_ = false; }  // after a repair

  // True when the range holds the header, the active L1 table, the refcount table or the snapshot
  // table, which the header names.
  bool is_fixed(uint64_t offset, uint64_t length) const noexcept;
  // True when it holds any table that the image depends on, as far as that is known without
  // reading (of snapshots: their L1 tables): nothing that the guest writes may go there, no new
  // cluster may be made there, and the last reference to it may not go. Images opened read-only do
  // not know their tables.
  bool is_metadata(uint64_t offset, uint64_t length) const noexcept {
    const uint64_t first = offset >> geometry.cluster_bits;
    const uint64_t end = ((offset + length - 1) >> geometry.cluster_bits) + 1;
    return l2_tables.any(first, end) || refcount_blocks.any(first, end) ||
           snapshot_l1s.overlaps(offset, length) || is_fixed(offset, length);
  }
  // Tables that the header names lie on top of each other.
  bool fixed_overlap() const noexcept;
  // 0 for a table that is lost: images that are only read or repaired may be without
  // (parse_header).
  uint64_t refcount_table_bytes() const noexcept;

  // Kept by those who own the tables.
  uint64_t snapshot_table_bytes = 0;  // known once the table has been read
  RangeSet snapshot_l1s;
  ClusterSet l2_tables;  // of the active L1 table
  ClusterSet refcount_blocks;

 private:
  Task<std::error_code> write_layout(const Header& from);

  Buffer first_;  // the blocks of the file that the header's fields lie in
  AsyncMutex writing_;
  bool corrupt_ = false;
};

}  // namespace vireo::blk::qcow2
