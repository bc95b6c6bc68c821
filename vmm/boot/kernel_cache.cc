#include "vmm/boot/kernel_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "vmm/base/bytes.h"
#include "vmm/boot/image.h"
#include "vmm/memory/layout.h"

namespace vireo {
namespace {

// Ends an entry's file: it is complete, and of this version's layout.
struct Trailer {
  std::array<char, 8> magic{'v', 'i', 'r', 'e', 'o', 'k', 'c', '1'};
  le64 size;
  bool operator==(const Trailer& other) const noexcept {
    return magic == other.magic && size == other.size;
  }
};

// The modification time of a finished entry; even, for file systems that count in twos.
constexpr timespec kEntryTime{.tv_sec = 1'000'000'000, .tv_nsec = 0};
// A file changed twice within its time stamp's grain looks unchanged: times this young say nothing.
constexpr time_t kSettled = 2;
constexpr time_t kAbandoned = 3600;  // nobody writes an entry for an hour
constexpr size_t kMaxLinks = 256;

constexpr std::string_view kTemporary = "tmp-", kLink = "file-", kEntry = ".elf";

std::string entry_name(const std::string& sha256) {
  return sha256 + std::string(kEntry);
}

std::string link_name(const struct stat& file) {
  return fmt::format("{}{:x}-{:x}-{:x}-{:x}.{:x}-{:x}.{:x}", kLink, file.st_dev, file.st_ino,
                     file.st_size, file.st_mtim.tv_sec, file.st_mtim.tv_nsec, file.st_ctim.tv_sec,
                     file.st_ctim.tv_nsec);
}

bool settled(const struct stat& file) {
  const time_t now = std::time(nullptr);
  return std::max(file.st_mtim.tv_sec, file.st_ctim.tv_sec) + kSettled < now;
}

bool is_ours_or_roots(const struct stat& file) {
  return file.st_uid == ::geteuid() || file.st_uid == 0;
}

// Nobody else decides what lies in there; in a sticky one (/tmp) each owner does for what is his.
bool is_trusted(int directory) {
  struct stat status {};
  if (::fstat(directory, &status) != 0) return false;
  const bool open_to_all = (status.st_mode & S_IWOTH) != 0 && (status.st_mode & S_ISVTX) == 0;
  return is_ours_or_roots(status) && !open_to_all;
}

bool is_trusted_link(int parent, const char* name) {
  struct stat status {};
  return ::fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode) &&
         is_ours_or_roots(status);
}

// The directory in `parent`, made if need be.
UniqueFd enter(int parent, const char* name) {
  constexpr int kFlags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  ::mkdirat(parent, name, 0700);
  UniqueFd directory{::openat(parent, name, kFlags | O_NOFOLLOW)};
  if (!directory && is_trusted_link(parent, name)) directory.reset(::openat(parent, name, kFlags));
  return directory && is_trusted(directory.get()) ? std::move(directory) : UniqueFd{};
}

bool is_closed_to_others(int directory) {
  struct stat status {};
  return ::fstat(directory, &status) == 0 && status.st_uid == ::geteuid() &&
         (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

// Each directory on the way is looked at: a process of root's with the HOME of another user would
// otherwise write and remove files wherever a link of that user's leads.
UniqueFd open_directory(const std::filesystem::path& path) {
  if (path.empty()) return {};
  std::error_code error;
  const std::filesystem::path whole = std::filesystem::absolute(path, error);
  UniqueFd directory{::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};
  for (const std::filesystem::path& name : whole.relative_path())
    if (directory && !name.empty()) directory = enter(directory.get(), name.c_str());
  if (!directory) return {};
  UniqueFd readable{::openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  return readable && is_closed_to_others(readable.get()) ? std::move(readable) : UniqueFd{};
}

struct Found {
  std::string name;
  struct stat status {};
};

std::vector<Found> list(int directory) {
  const int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream{copy < 0 ? nullptr : ::fdopendir(copy),
                                                   ::closedir};
  std::vector<Found> found;
  while (stream != nullptr) {
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    Found file{.name = entry->d_name};
    if (::fstatat(directory, file.name.c_str(), &file.status, AT_SYMLINK_NOFOLLOW) == 0)
      found.push_back(std::move(file));
  }
  return found;
}

uint64_t disk_space(const struct stat& status) {
  return static_cast<uint64_t>(status.st_blocks) * 512;
}

// Writes all but the zero pages.
std::error_code write_sparse(int fd, std::span<const std::byte> bytes) {
  for (size_t at = 0; at < bytes.size();) {
    size_t end = at;
    const auto page = [&] {
      return bytes.subspan(end, std::min<size_t>(kPageSize, bytes.size() - end));
    };
    while (end < bytes.size() && !all_zero(page())) end += page().size();
    if (const auto error = pwrite_all(fd, bytes.subspan(at, end - at), at)) return error;
    while (end < bytes.size() && all_zero(page())) end += page().size();
    at = end;
  }
  return {};
}

bool write_file(int fd, std::span<const std::byte> bytes) {
  const Trailer trailer{.size = bytes.size()};
  const std::array<timespec, 2> times{timespec{0, UTIME_NOW}, kEntryTime};
  return !write_sparse(fd, bytes) && !pwrite_all(fd, bytes_of(trailer), bytes.size()) &&
         ::futimens(fd, times.data()) == 0 && ::fsync(fd) == 0;
}

}  // namespace

std::filesystem::path default_kernel_cache() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && cache[0] == '/')
    return std::filesystem::path(cache) / "vireo";
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/')
    return std::filesystem::path(home) / ".cache" / "vireo";
  return {};
}

KernelCache::KernelCache(const std::filesystem::path& directory, uint64_t limit)
    : directory_(open_directory(directory)), limit_(limit) {}

std::optional<KernelCache::Entry> KernelCache::open_entry(const std::string& name) const {
  if (!directory_) return std::nullopt;
  Entry entry{.fd = UniqueFd{::openat(directory_.get(), name.c_str(), O_RDONLY | O_CLOEXEC)}};
  struct stat status {};
  if (!entry.fd || ::fstat(entry.fd.get(), &status) != 0) return std::nullopt;
  const auto file_size = static_cast<uint64_t>(status.st_size);
  if (!S_ISREG(status.st_mode) || file_size <= sizeof(Trailer)) return std::nullopt;
  entry.size = file_size - sizeof(Trailer);

  Trailer trailer;
  const bool readable = !pread_all(entry.fd.get(), writable_bytes_of(trailer), entry.size);
  if (!readable || trailer != Trailer{.size = entry.size} ||
      status.st_mtim.tv_sec != kEntryTime.tv_sec)
    return std::nullopt;
  // Whatever the mount options say: make_room() throws out what was not used for longest.
  const std::array<timespec, 2> times{timespec{0, UTIME_NOW}, timespec{0, UTIME_OMIT}};
  ::futimens(entry.fd.get(), times.data());
  return entry;
}

std::optional<KernelCache::Entry> KernelCache::find_file(const struct stat& bzimage) const {
  if (!settled(bzimage)) return std::nullopt;
  return open_entry(link_name(bzimage));
}

std::optional<KernelCache::Entry> KernelCache::find_payload(const std::string& sha256,
                                                            const struct stat& bzimage) const {
  auto entry = open_entry(entry_name(sha256));
  if (entry) link_file(sha256, bzimage);
  return entry;
}

void KernelCache::store(const std::string& sha256, const struct stat& bzimage,
                        std::span<const std::byte> kernel) const {
  if (!directory_ || kernel.size() > limit_ / 2) return;
  make_room(kernel.size());
  if (write_entry(entry_name(sha256), kernel)) link_file(sha256, bzimage);
}

bool KernelCache::write_entry(const std::string& name, std::span<const std::byte> kernel) const {
  const std::string temporary = fmt::format("{}{}-{}", kTemporary, ::getpid(), name);
  UniqueFd fd{::openat(directory_.get(), temporary.c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!fd) return false;
  const bool kept = write_file(fd.get(), kernel) && ::renameat(directory_.get(), temporary.c_str(),
                                                               directory_.get(), name.c_str()) == 0;
  if (!kept) ::unlinkat(directory_.get(), temporary.c_str(), 0);
  return kept;
}

void KernelCache::link_file(const std::string& sha256, const struct stat& bzimage) const {
  if (!settled(bzimage)) return;
  make_room(0);
  const std::string name = link_name(bzimage);
  ::unlinkat(directory_.get(), name.c_str(), 0);
  ::symlinkat(entry_name(sha256).c_str(), directory_.get(), name.c_str());
}

// Removes what was abandoned, links when they are many, and entries, least recently used first,
// until `wanted` more bytes fit.
void KernelCache::make_room(uint64_t wanted) const {
  std::vector<Found> entries, links;
  for (Found& file : list(directory_.get())) {
    if (file.name.starts_with(kTemporary)) {
      if (file.status.st_mtim.tv_sec + kAbandoned < std::time(nullptr))
        ::unlinkat(directory_.get(), file.name.c_str(), 0);
    } else if (file.name.starts_with(kLink)) {
      links.push_back(std::move(file));
    } else if (file.name.ends_with(kEntry)) {
      entries.push_back(std::move(file));
    }
  }
  if (links.size() >= kMaxLinks)
    for (const Found& link : links) ::unlinkat(directory_.get(), link.name.c_str(), 0);

  std::ranges::sort(entries, {}, [](const Found& entry) {
    return std::pair(entry.status.st_atim.tv_sec, entry.status.st_atim.tv_nsec);
  });
  uint64_t used = wanted;
  for (const Found& entry : entries) used += disk_space(entry.status);
  for (const Found& entry : entries) {
    if (used <= limit_) return;
    if (::unlinkat(directory_.get(), entry.name.c_str(), 0) == 0) used -= disk_space(entry.status);
  }
}

}  // namespace vireo
