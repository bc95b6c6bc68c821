// Internal snapshots ("Snapshots"): the table of them, taking, returning to and deleting them.
//
// Counts and COPIED flags change together with the header, in a shadow (allocator.h): a crash at
// any point leaves the image as it was before the operation or as it is after it.
//
// Thread: the node's loop; the caller has the image for himself.
// Errors: those of the file, ENOSPC, ENOENT, EEXIST, ENOTSUP (external data, refcount_bits=1).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "blockdev/format/qcow2/tree.h"

namespace vireo::blk::qcow2 {

struct SnapshotInfo {
  std::string id;
  std::string name;
  uint64_t l1_offset = 0;
  uint32_t l1_entries = 0;
  uint32_t date_seconds = 0;  // since the epoch
  uint32_t date_nanoseconds = 0;
  uint64_t vm_clock_nanoseconds = 0;
  uint64_t vm_state_size = 0;
  uint64_t disk_size = 0;
  bool complete = true;            // disk_size is recorded, as version 3 demands
  std::vector<std::byte> unknown;  // extra data this version does not know; kept
  bool operator==(const SnapshotInfo&) const = default;

  // The instruction count of a recorded guest, which follows what is parsed above; kept only.
  std::optional<uint64_t> instructions() const noexcept {
    if (unknown.size() < 8 || load_be64(unknown.data()) == ~uint64_t{0}) return std::nullopt;
    return load_be64(unknown.data());
  }
};

// Parses `count` entries from the start of `bytes`; nullopt when the bytes end before.
struct ParsedSnapshots {
  std::vector<SnapshotInfo> list;
  uint64_t length = 0;  // of the table
};
std::optional<ParsedSnapshots> parse_snapshots(std::span<const std::byte> bytes, uint32_t count);
std::vector<std::byte> serialise_snapshots(const std::vector<SnapshotInfo>& list);
// The table that the header names; EIO when it is damaged.
Task<Outcome<ParsedSnapshots>> read_snapshots(HostFile& file, const Header& header);

class Snapshots {
 public:
  Snapshots(Image& image, Tables& tables) : image_(image), tables_(tables), tree_(image, tables) {}

  Task<std::error_code> load();
  const std::vector<SnapshotInfo>& list() const noexcept { return list_; }
  Task<std::error_code> create(std::string name);
  Task<std::error_code> apply(std::string id_or_name);
  Task<std::error_code> remove(std::string id_or_name);
  // In memory only.
  Task<std::error_code> show(std::string id_or_name);
  // The active tables become empty.
  Task<std::error_code> clear();
  // Clusters that lost a reference, each as often as that happened, while their counts stayed.
  Task<std::error_code> let_go(std::vector<uint64_t> clusters);
  // Writes a table to new clusters, which nothing names yet; gives its offset (0 for an empty one).
  Task<Outcome<uint64_t>> write_list(std::vector<SnapshotInfo> list);
  // Writes the table anew, with all that its entries have to have.
  Task<std::error_code> rewrite();

 private:
  // What an image is made of at the end of an operation.
  struct Next {
    std::vector<SnapshotInfo> list;
    std::vector<uint64_t> l1;
    uint64_t size = 0;
  };
  Task<Outcome<Next>> with_new(SnapshotInfo info);
  Task<Outcome<Next>> returned_to(SnapshotInfo info);
  Task<Outcome<Next>> without(SnapshotInfo info);
  Task<Outcome<Next>> emptied();
  Task<Outcome<Next>> unchanged();
  Task<Outcome<std::vector<uint64_t>>> read_l1(SnapshotInfo info);
  Task<std::error_code> begin();
  Task<std::error_code> publish(Outcome<Next> next);
  Task<Outcome<Header>> write_tables(Next& next);
  Task<std::error_code> drop_active_l1();
  void note_l1s();
  const SnapshotInfo* find(const std::string& id_or_name) const noexcept;
  std::string next_id() const;

  Image& image_;
  Tables& tables_;
  Tree tree_;
  std::vector<SnapshotInfo> list_;
};

}  // namespace vireo::blk::qcow2
