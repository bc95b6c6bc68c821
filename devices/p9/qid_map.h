// Qid paths: 64 bits that no two files of a share have in common, though it may span several file
// systems of the host (what QEMU calls multidevs=remap). The share's own file system keeps its
// inode numbers.
//
// Thread: the server's loop. Bounded: 65536 pairs of a device and the upper 16 bits of an inode
// number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <unordered_map>

#include "devices/p9/result.h"

namespace vireo::p9 {

class QidMap {
 public:
  explicit QidMap(uint64_t root_device) { prefixes_.emplace(Key{root_device, 0}, 0); }

  // ENFILE when there are too many devices.
  Result<uint64_t> path_of(uint64_t device, uint64_t inode) {
    constexpr size_t kMost = 1 << 16;
    const Key key{device, inode >> kBits};
    auto found = prefixes_.find(key);
    if (found == prefixes_.end()) {
      if (prefixes_.size() == kMost) return Failure{ENFILE};
      found = prefixes_.emplace(key, prefixes_.size()).first;
    }
    return found->second << kBits | (inode & ((uint64_t{1} << kBits) - 1));
  }

 private:
  static constexpr unsigned kBits = 48;
  struct Key {
    uint64_t device, upper;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    size_t operator()(const Key& key) const noexcept {
      return std::hash<uint64_t>()(key.device * 0x9e3779b97f4a7c15 ^ key.upper);
    }
  };
  std::unordered_map<Key, uint64_t, Hash> prefixes_;
};

}  // namespace vireo::p9
