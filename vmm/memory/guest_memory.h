// The guest's RAM, and the only way to a pointer into it.
//
// Thread: any; the object is immutable after construction. The guest writes its RAM at any time:
// whatever decides something is copied out once (read()) and checked in the copy; spans from
// range() are for payload.
// Owns the mappings. Addresses are guest-physical, sizes in bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "vmm/base/bytes.h"
#include "vmm/base/fd.h"

namespace vireo {

struct MemoryConfig {
  uint64_t size = 128 * 1024 * 1024;  // a multiple of 4096, at least 1 MiB
  bool shared = false;      // memfd instead of anonymous memory: other processes may map it
  bool huge_pages = false;  // transparent huge pages asked for
  bool hugetlb = false;     // 2 MiB pages from the host's pool; size a multiple of 2 MiB
};

class GuestMemory {
 public:
  struct Region {
    uint64_t start = 0;  // guest-physical
    std::span<std::byte> bytes{};
    uint64_t file_offset = 0;  // in fd(), when shared
  };

  // Throws ConfigError on a size that cannot be, std::system_error when the host refuses it.
  explicit GuestMemory(const MemoryConfig& config);
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  uint64_t size() const noexcept { return size_; }
  std::span<const Region> regions() const noexcept { return regions_; }
  int fd() const noexcept { return fd_.get(); }  // -1 unless shared

  // The bytes [address, address + length) when all of them are RAM of one region; else nothing.
  // A length of 0 gives an empty span for any address.
  std::optional<std::span<std::byte>> range(uint64_t address, uint64_t length) const noexcept;

  [[nodiscard]] bool read(uint64_t address, std::span<std::byte> into) const noexcept;
  [[nodiscard]] bool write(uint64_t address, std::span<const std::byte> from) const noexcept;

  template <Wire T>
  std::optional<T> read(uint64_t address) const noexcept {
    T value;
    if (!read(address, writable_bytes_of(value))) return std::nullopt;
    return value;
  }
  template <Wire T>
  [[nodiscard]] bool write(uint64_t address, const T& value) const noexcept {
    return write(address, bytes_of(value));
  }

  // All zeros again, the pages given back to the host. Only while no vCPU or device runs.
  void clear() noexcept;

 private:
  struct Unmap {
    uint64_t length;
    void operator()(std::byte* start) const noexcept;
  };
  void map(uint64_t start, uint64_t length, uint64_t file_offset, const MemoryConfig& config);

  uint64_t size_ = 0;
  UniqueFd fd_;
  std::vector<std::unique_ptr<std::byte, Unmap>> mappings_;
  std::vector<Region> regions_;
};

}  // namespace vireo
