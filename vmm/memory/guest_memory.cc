#include "vmm/memory/guest_memory.h"

#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo {

namespace {

constexpr uint64_t kHugePage = 2 * MiB;
constexpr uint64_t kMinimum = 1 * MiB;

uint64_t host_memory() {
  struct sysinfo info {};
  if (::sysinfo(&info) != 0) throw_errno("cannot ask the host how much memory it has");
  return (static_cast<uint64_t>(info.totalram) + info.totalswap) * info.mem_unit;
}

void check_size(const MemoryConfig& config) {
  const uint64_t size = config.size;
  if (size < kMinimum)
    throw ConfigError(fmt::format(
        "a machine with {} bytes of memory cannot run: give it 1M or more (128M for Linux)", size));
  if (size % kPageSize != 0)
    throw ConfigError(fmt::format("memory of {} bytes is not a multiple of 4096", size));
  if (config.hugetlb && size % kHugePage != 0)
    throw ConfigError(
        fmt::format("memory of {} bytes is not a multiple of 2M, as huge pages need", size));
  if (const uint64_t host = host_memory(); size > host)
    throw ConfigError(
        fmt::format("the machine asks for {} MiB of memory, the host has {} MiB: ask for less",
                    size / MiB, host / MiB));
}

UniqueFd make_memfd(const MemoryConfig& config) {
  const unsigned flags = MFD_CLOEXEC | (config.hugetlb ? MFD_HUGETLB | MFD_HUGE_2MB : 0U);
  UniqueFd fd{::memfd_create("vireo-ram", flags)};
  if (!fd) throw_errno("cannot create the guest's memory file");
  if (::ftruncate(fd.get(), static_cast<off_t>(config.size)) != 0)
    throw_errno("cannot size the guest's memory file");
  return fd;
}

// Pages of the host's pool are reserved, so that too few of them are an error here and not a SIGBUS
// when the guest touches the first that is missing.
int map_flags(const MemoryConfig& config) {
  const int kind = config.shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
  if (!config.hugetlb) return kind | MAP_NORESERVE;
  return config.shared ? kind : kind | MAP_HUGETLB;
}

// Reserves address space that starts at a multiple of 2 MiB, as large pages in host and guest need
// to coincide.
std::byte* reserve_aligned(uint64_t length) {
  void* const space = ::mmap(nullptr, length + kHugePage, PROT_NONE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (space == MAP_FAILED)
    throw_errno(fmt::format("cannot reserve {} MiB of address space", length / MiB));
  auto* const start = static_cast<std::byte*>(space);
  const uint64_t before = -reinterpret_cast<uintptr_t>(start) % kHugePage;
  if (before > 0) ::munmap(start, before);
  if (before < kHugePage) ::munmap(start + before + length, kHugePage - before);
  return start + before;
}

}  // namespace

GuestMemory::GuestMemory(const MemoryConfig& config) : size_(config.size) {
  check_size(config);
  if (config.shared) fd_ = make_memfd(config);
  const uint64_t low = std::min(size_, layout::kRamGapStart);
  map(0, low, 0, config);
  if (size_ > low) map(layout::kRamGapEnd, size_ - low, low, config);
}

void GuestMemory::Unmap::operator()(std::byte* start) const noexcept {
  ::munmap(start, length);
}

void GuestMemory::map(uint64_t start, uint64_t length, uint64_t file_offset,
                      const MemoryConfig& config) {
  mappings_.emplace_back(reserve_aligned(length), Unmap{length});
  std::byte* const space = mappings_.back().get();
  if (::mmap(space, length, PROT_READ | PROT_WRITE, MAP_FIXED | map_flags(config), fd_.get(),
             fd_ ? static_cast<off_t>(file_offset) : 0) == MAP_FAILED)
    throw_errno(
        fmt::format("cannot map {} MiB of guest memory{}", length / MiB,
                    config.hugetlb ? " in huge pages (see /proc/sys/vm/nr_hugepages)" : ""));
  regions_.push_back({start, {space, length}, file_offset});
  ::madvise(space, length, MADV_DONTFORK);  // an embedder's fork must not copy the guest
  ::madvise(space, length, MADV_DONTDUMP);
  if (config.huge_pages) ::madvise(space, length, MADV_HUGEPAGE);
}

void GuestMemory::clear() noexcept {
  for (const Region& region : regions_) {
    const int advice = fd_ ? MADV_REMOVE : MADV_DONTNEED;
    if (::madvise(region.bytes.data(), region.bytes.size(), advice) != 0)
      std::memset(region.bytes.data(), 0, region.bytes.size());
  }
}

std::optional<std::span<std::byte>> GuestMemory::range(uint64_t address,
                                                       uint64_t length) const noexcept {
  if (length == 0) return std::span<std::byte>{};
  for (const Region& region : regions_) {
    if (address < region.start) continue;
    const uint64_t offset = address - region.start;
    if (offset < region.bytes.size() && length <= region.bytes.size() - offset)
      return region.bytes.subspan(offset, length);
  }
  return std::nullopt;
}

bool GuestMemory::read(uint64_t address, std::span<std::byte> into) const noexcept {
  const auto from = range(address, into.size());
  if (!from) return false;
  if (!into.empty()) std::memcpy(into.data(), from->data(), into.size());
  return true;
}

bool GuestMemory::write(uint64_t address, std::span<const std::byte> from) const noexcept {
  const auto into = range(address, from.size());
  if (!into) return false;
  if (!from.empty()) std::memcpy(into->data(), from.data(), from.size());
  return true;
}

}  // namespace vireo
