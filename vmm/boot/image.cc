#include "vmm/boot/image.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/core.h>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo {

namespace {

// Filling memory page by page costs more than the copying: asks for large pages where they are sure
// to be used up.
void advise_large_pages(std::span<std::byte> range) {
  constexpr size_t kWorthIt = 4 * MiB;
  if (range.size() < kWorthIt) return;
  const auto start = reinterpret_cast<uintptr_t>(range.data());
  const uintptr_t first = (start + kPageSize - 1) / kPageSize * kPageSize;
  const uintptr_t last = (start + range.size()) / kPageSize * kPageSize;
  // Refused, all is as without.
  ::madvise(range.data() + (first - start), last - first, MADV_HUGEPAGE);
}

}  // namespace

void load_into(GuestMemory& memory, uint64_t address, const Image& image, uint64_t offset,
               uint64_t length) {
  const auto range = memory.range(address, length);
  VMM_CHECK(range, "what was claimed is RAM");
  advise_large_pages(*range);
  image.load(offset, *range);
}

void Image::read(uint64_t offset, std::span<std::byte> into) const {
  if (!contains(offset, into.size()))
    throw ConfigError(fmt::format("{} is truncated: it has {} bytes, and {} are wanted at {}",
                                  name_, size_, into.size(), offset));
  if (!into.empty()) do_read(offset, into);
}

void Image::load(uint64_t offset, std::span<std::byte> into) const {
  if (!contains(offset, into.size()))
    throw ConfigError(fmt::format("{} is truncated: it has {} bytes, and {} are wanted at {}",
                                  name_, size_, into.size(), offset));
  if (!into.empty()) do_load(offset, into);
}

void Image::corrupt(std::string_view why) const {
  throw ConfigError(fmt::format("{} is corrupt: {}", name_, why));
}

FileImage::FileImage(std::string_view role, const std::filesystem::path& path)
    : FileImage(fmt::format("{} '{}'", role, path.string()),
                open(fmt::format("{} '{}'", role, path.string()), path)) {}

FileImage::FileImage(std::string name, Opened opened)
    : Image(std::move(name), static_cast<uint64_t>(opened.status.st_size)),
      opened_(std::move(opened)) {}

FileImage::FileImage(std::string name, UniqueFd fd, uint64_t size)
    : Image(std::move(name), size), opened_{std::move(fd), {}} {}

FileImage::Opened FileImage::open(const std::string& name, const std::filesystem::path& path) {
  // Non-blocking, or a FIFO without a writer would hang here.
  Opened opened{UniqueFd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)}, {}};
  if (!opened.fd && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
    throw_errno(fmt::format("cannot open {}", name));  // the host's trouble, not the file's
  if (!opened.fd && errno == ENOENT)
    throw ConfigError(fmt::format("{} is missing: there is no such file", name));
  if (!opened.fd)
    throw ConfigError(fmt::format("cannot open {}: {}", name, last_error().message()));
  if (::fstat(opened.fd.get(), &opened.status) != 0)
    throw ConfigError(fmt::format("cannot inspect {}: {}", name, last_error().message()));
  if (!S_ISREG(opened.status.st_mode))
    throw ConfigError(fmt::format("{} is not a regular file", name));
  if (opened.status.st_size == 0) throw ConfigError(fmt::format("{} is empty", name));
  return opened;
}

void FileImage::do_read(uint64_t offset, std::span<std::byte> into) const {
  if (const std::error_code error = pread_all(opened_.fd.get(), into, offset))
    throw ConfigError(fmt::format("cannot read {}: {}", name(), error.message()));
}

// Where the next data or hole begins, at most `end`; a file system that cannot tell has no holes.
uint64_t FileImage::next(int whence, uint64_t offset, uint64_t end) const {
  const off_t found = ::lseek(opened_.fd.get(), static_cast<off_t>(offset), whence);
  if (found >= 0) return std::min(static_cast<uint64_t>(found), end);
  return whence == SEEK_DATA && errno != ENXIO ? offset : end;
}

void FileImage::do_load(uint64_t offset, std::span<std::byte> into) const {
  const uint64_t end = offset + into.size();
  for (uint64_t at = next(SEEK_DATA, offset, end); at < end; at = next(SEEK_DATA, at, end)) {
    const uint64_t hole = next(SEEK_HOLE, at, end);
    do_read(at, into.subspan(at - offset, hole - at));
    at = hole;
  }
}

void MemoryImage::do_read(uint64_t offset, std::span<std::byte> into) const {
  std::memcpy(into.data(), bytes_.data() + offset, into.size());
}

void MemoryImage::do_load(uint64_t offset, std::span<std::byte> into) const {
  for (size_t at = 0; at < into.size(); at += kPageSize) {
    const auto page = bytes_.subspan(offset + at, std::min<size_t>(kPageSize, into.size() - at));
    if (!all_zero(page)) std::memcpy(into.data() + at, page.data(), page.size());
  }
}

}  // namespace vireo
