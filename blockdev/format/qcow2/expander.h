// Clusters that read as zeros by a flag of their L2 entry, which version 2 does not know, become
// unallocated ones, or clusters of zeros where a backing image would show; in the active tables and
// in those of snapshots.
//
// What the disk and its snapshots show never changes, so that a crash at any point does no harm.
// Thread: the node's loop; the caller has the image for itself. For images without extended L2
// entries and external data. Errors: those of the file, ENOSPC, ECANCELED when told to stop.
#pragma once

#include <vector>

#include "blockdev/format/qcow2/snapshots.h"

namespace vireo::blk::qcow2 {

class Expander {
 public:
  Expander(Image& image, Tables& tables, Snapshots& snapshots)
      : image_(image), tables_(tables), snapshots_(snapshots) {}

  Task<std::error_code> run(ProgressFunction progress);

 private:
  Task<Outcome<std::vector<uint64_t>>> all_tables();
  Task<std::error_code> expand_table(uint64_t table);
  Task<Outcome<uint64_t>> expanded(uint64_t entry, uint64_t references);
  Task<Outcome<uint64_t>> new_cluster(uint64_t references);
  Task<std::error_code> write_zeros(uint64_t host);

  Image& image_;
  Tables& tables_;
  Snapshots& snapshots_;
  std::vector<uint64_t> replaced_;  // clusters, once for each reference that is gone
};

}  // namespace vireo::blk::qcow2
