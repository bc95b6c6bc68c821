// Unpacked kernels, kept between runs so that a stock bzImage starts as fast as a plain vmlinux.
//
// Thread: any, one call at a time; several processes may use one directory at once.
// Layout:   <sha256 of the packed payload>.elf    the unpacked kernel, sparse, complete or not
// there
//           file-<dev>-<ino>-<size>-<times>       symbolic link: what this bzImage unpacks to
//           tmp-*                                 being written
//
// Trust: the directory must belong to the user and be writable by nobody else, or it is not used;
// who can write it is the user. A guest's kernel may be hostile, so entries are named by a hash
// that cannot be made to collide. The links only save hashing the bzImage at each start; one is
// made when the file's times are old enough that a later change must show in them. Entries reach
// the disk before they get their name, carry their size in a trailer and a fixed modification time
// that any later write would change; one that does not fit is removed and made again. Sizes in
// bytes. Nothing here throws for a cache that cannot be used: it is then absent.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "vmm/base/fd.h"

struct stat;

namespace vireo {

// $XDG_CACHE_HOME/vireo or ~/.cache/vireo; empty when neither is known.
std::filesystem::path default_kernel_cache();

class KernelCache {
 public:
  static constexpr uint64_t kDefaultLimit = 512ull * 1024 * 1024;

  // Disk space of all entries stays below `limit`. An empty directory makes an absent cache.
  explicit KernelCache(const std::filesystem::path& directory, uint64_t limit = kDefaultLimit);

  explicit operator bool() const noexcept { return static_cast<bool>(directory_); }

  struct Entry {
    UniqueFd fd;
    uint64_t size = 0;
  };
  // What the bzImage with this identity was unpacked to, without reading it.
  std::optional<Entry> find_file(const struct stat& bzimage) const;
  // What a payload with this hash unpacks to; remembers that it came from `bzimage`.
  std::optional<Entry> find_payload(const std::string& sha256, const struct stat& bzimage) const;
  // Keeps an unpacked kernel; does nothing when it cannot.
  void store(const std::string& sha256, const struct stat& bzimage,
             std::span<const std::byte> kernel) const;

 private:
  std::optional<Entry> open_entry(const std::string& name) const;
  void link_file(const std::string& sha256, const struct stat& bzimage) const;
  bool write_entry(const std::string& name, std::span<const std::byte> kernel) const;
  void make_room(uint64_t wanted) const;

  UniqueFd directory_;
  uint64_t limit_;
};

}  // namespace vireo
