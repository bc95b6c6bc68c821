// Compressed clusters: the codecs (pure, any thread), and reading with decompression on the worker
// pool and a small cache of the clusters read last, because guests read them piece by piece.
//
// Thread of Decompressor: the node's loop. Memory: a few decompressed clusters, plus two clusters
// for each of the at most kParallel being worked on. Errors: those of the file, EIO for what does
// not decompress to a whole cluster.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "blockdev/format/qcow2/image.h"

namespace vireo::blk::qcow2 {

// Fills `to` from the start of `from`, which may be followed by anything; false if it does not.
bool decompress(Compression type, std::span<const std::byte> from,
                std::span<std::byte> to) noexcept;
// Nothing when the result would not fit into `limit` bytes.
std::optional<std::vector<std::byte>> compress(Compression type, std::span<const std::byte> from,
                                               size_t limit);

class Decompressor {
 public:
  explicit Decompressor(Image& image);

  // Part of the guest cluster that `descriptor` describes.
  Task<std::error_code> read(uint64_t descriptor, uint64_t in_cluster, IoVecs into);
  // After host clusters were let go: what they held is not what they will hold.
  void clear() noexcept { recent_.clear(); }

 private:
  using Cluster = std::shared_ptr<const Buffer>;
  struct Loading {
    Event done;
    Outcome<Cluster> result;
  };
  struct Entry {
    uint64_t descriptor;
    Cluster cluster;
  };
  Cluster recent(uint64_t descriptor);
  Task<Outcome<Cluster>> load(uint64_t descriptor);
  Task<Outcome<Cluster>> shared_load(uint64_t descriptor);

  Image& image_;
  const size_t max_recent_;
  std::list<Entry> recent_;  // the latest first
  std::unordered_map<uint64_t, std::shared_ptr<Loading>> loading_;
  Semaphore places_;
};

}  // namespace vireo::blk::qcow2
