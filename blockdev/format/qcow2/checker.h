// Consistency of an image: counts all references anew and compares ('qemu-img check' counts the
// same things under the same names), and repairs.
//
// Thread: the node's loop; the caller has the image for himself. Memory: one window of counts
// (kWindowClusters), one table of a cluster, the offsets of all L2 tables. Time: a few passes over
// the metadata; an image that scatters its clusters absurdly is given up with an error instead.
// Result: `errors` are what kept the check from finishing, `corruptions` what can hurt data,
// `leaks` clusters that are counted and not used.
//
// A repair makes the counts right and never gives data up for it: what an entry that leads nowhere
// meant stays unknown, and stays as it is; nothing is let go while a table cannot be read that may
// refer to it.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "blockdev/format/image.h"
#include "blockdev/format/qcow2/snapshots.h"

namespace vireo::blk::qcow2 {

using blk::CheckResult;
using blk::Repair;

class Checker {
 public:
  static constexpr uint64_t kWindowClusters = uint64_t{1} << 24;
  static constexpr size_t kMaxWindows = 256;
  static constexpr uint64_t kMaxL1Total = uint64_t{1} << 30;  // bytes of all L1 tables together

  Checker(Image& image, Tables& tables, Snapshots& snapshots);

  // Told to stop, it ends with an error and leaves what it has repaired so far.
  Task<CheckResult> run(Repair repair, ProgressFunction progress = {});

 private:
  // L2 tables, each with the number of L1 entries that lead to it.
  struct Table {
    uint64_t offset = 0;
    uint64_t references = 0;
  };
  // A window of counts, or (no counts) only notes which windows and refcount blocks are needed.
  struct Counts {
    uint64_t first = 0;  // cluster
    std::vector<uint32_t> counts;
    std::set<uint64_t>* windows = nullptr;
    std::set<uint64_t>* blocks = nullptr;
    const std::unordered_set<uint64_t>* refcount_blocks = nullptr;  // which of them are used, too
  };

  std::error_code step();
  Task<std::error_code> check_all();
  Task<std::error_code> collect_tables();
  Task<std::error_code> collect_snapshots();
  void collect_l1(const std::vector<uint64_t>& l1, uint64_t references, bool active);
  void merge_tables();
  void check_snapshots();
  Task<std::error_code> check_entries();
  Task<std::error_code> check_table(uint64_t table, bool active);
  bool entry_is_bad(const L2Entry& entry) const noexcept;
  std::string where(const L2Entry& entry) const;  // a bad one leads to
  bool holds_nothing(const L2Entry& entry) const noexcept;
  void note_entry(const L2Entry& entry);
  Task<std::error_code> fix_entries(uint64_t table, std::vector<uint64_t> bad);

  Task<std::error_code> count(Counts& counts, bool with_refcounts);
  void count_refcounts(Counts& counts);
  Task<std::error_code> count_table(Counts& counts, Table table);
  Task<std::error_code> count_bitmaps(Counts& counts);
  void add(Counts& counts, uint64_t offset, uint64_t length, uint64_t references);

  bool block_is_bad(uint64_t block) const noexcept;
  void check_blocks();
  void note_blocks();
  Task<std::error_code> note_uses();
  Task<std::error_code> compare_windows();
  Task<std::error_code> compare_window(uint64_t window);
  Task<std::error_code> compare_block(uint64_t block, const Counts& counts);
  Task<std::error_code> compare_cluster(uint64_t cluster, uint64_t stored, uint64_t found);
  Task<std::error_code> check_copied();
  Task<std::error_code> complete();

  Task<std::error_code> rebuild();
  Task<std::error_code> write_blocks(const RefcountArea& area);
  void complain(bool fixed, const std::string& what);
  void keep(const std::string& what);

  Image& image_;
  Tables& tables_;
  Snapshots& snapshots_;
  const Geometry geometry_;
  CheckResult result_;
  Repair repair_ = Repair::none;
  std::vector<Table> l2_tables_;  // of all L1 tables, sorted by offset
  std::vector<uint64_t> active_;  // L2 tables of the active L1 table, in order of the disk
  struct L1Area {
    uint64_t offset = 0, length = 0;
  };
  std::vector<L1Area> l1_areas_;                // of snapshots
  std::unordered_set<uint64_t> shared_blocks_;  // refcount blocks that something else leads to
  std::set<uint64_t> windows_;                  // in which anything lies
  std::vector<uint64_t> blocks_;                // those that can be refcount blocks
  uint64_t incomplete_ = 0;                     // entries of the snapshot table
  uint64_t kept_ = 0;                           // corruptions that no repair touches
  bool unread_ = false;       // a table cannot be read: nobody knows what it refers to
  bool counts_right_ = true;  // none is below the number of references
  uint64_t l1_total_ = 0;
  uint64_t last_host_ = 0;  // for fragmentation
  bool rebuild_ = false;    // the refcount structure itself is unusable
  ProgressFunction progress_;
  uint64_t done_ = 0, total_ = 0;  // tables read, and to be read
};

}  // namespace vireo::blk::qcow2
