// All that one L1 table leads to: reference counts up or down, and the COPIED flags ("Cluster
// mapping", bit 63), which say the same as the counts do. For operations that have the image for
// themselves.
//
// Thread: the node's loop. Errors: those of the file, EIO for impossible tables.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "blockdev/format/qcow2/tables.h"

namespace vireo::blk::qcow2 {

class Tree {
 public:
  Tree(Image& image, Tables& tables) : image_(image), tables_(tables) {}

  // An L1 table as it is on disk.
  Task<Outcome<std::vector<uint64_t>>> read_l1(uint64_t offset, uint64_t entries);
  // Writes an L1 table to new clusters; gives its offset (0 for an empty one).
  Task<Outcome<uint64_t>> write_l1(std::vector<uint64_t> entries);
  // One reference more for every table and cluster.
  Task<std::error_code> add_references(std::vector<uint64_t> l1);
  // One less. What nobody refers to any more is given back, after the next flush or with the
  // shadow.
  Task<std::error_code> drop_references(std::vector<uint64_t> l1);
  // Compares the COPIED flags of the active tables with the counts; tells of each that differs, and
  // gives their number.
  using Report = std::function<void(const std::string& what)>;
  Task<Outcome<uint64_t>> check_copied(bool fix, Report report);
  // In a shadow: the same L1 table with flags that say what the counts say. L2 tables whose flags
  // change are copied; the old ones stay as they are.
  Task<Outcome<std::vector<uint64_t>>> with_true_flags(std::vector<uint64_t> l1);

 private:
  using Ranges = std::vector<HostRange>;
  Task<Outcome<std::vector<L2Entry>>> read_slice(uint64_t table, uint64_t slice);
  Task<Outcome<Ranges>> references(uint64_t table, uint64_t slice);
  Task<std::error_code> change_table(uint64_t table, int delta);
  Task<std::error_code> change_range(HostRange range, int delta);
  // An entry of a slice whose flag differs from the count of its cluster.
  struct WrongFlag {
    size_t index = 0;
    uint64_t descriptor = 0, count = 0;
  };
  Task<Outcome<std::vector<WrongFlag>>> wrong_flags(uint64_t table, uint64_t slice);
  Task<Outcome<uint64_t>> check_table(uint64_t table, bool fix, Report report);
  Task<std::error_code> turn_flags(uint64_t table, uint64_t slice, std::vector<WrongFlag> wrong);
  Task<Outcome<uint64_t>> true_table(uint64_t table);
  Task<Outcome<uint64_t>> rewritten(uint64_t table, std::vector<size_t> wrong);
  uint64_t slices_in_table() const noexcept;
  uint64_t slice_offset(uint64_t table, uint64_t slice) const noexcept;

  Image& image_;
  Tables& tables_;
};

}  // namespace vireo::blk::qcow2
