#include "devices/p9/local_fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/xattr.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstring>

#include <fmt/format.h>

namespace vireo::p9 {

namespace {

// What of the guest's flags the host's open() is given: not O_DIRECT, whose rules guest buffers do
// not keep, and nothing that makes, follows or waits.
constexpr uint32_t kOpenFlags = O_ACCMODE | O_TRUNC | O_APPEND | O_DSYNC | O_SYNC | O_DIRECTORY;

bool writes(uint32_t flags) noexcept {
  return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
}

UniqueFd open_root(const std::string& path) {
  UniqueFd root(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!root) throw_errno(fmt::format("cannot share '{}'", path));
  const auto attributes = attributes_of(root.get());
  if (!attributes) throw_errno(fmt::format("cannot share '{}'", path), attributes.error());
  if (!S_ISDIR(attributes->mode))
    throw ConfigError(fmt::format("cannot share '{}': it is not a directory", path));
  if (::faccessat(root.get(), ".", R_OK | X_OK, AT_EACCESS) != 0)
    throw_errno(fmt::format("cannot share '{}'", path));
  if (::access("/proc/self/fd", X_OK) != 0)
    throw_errno("cannot share directories without /proc: it is needed to reach open files");
  return root;
}

Claims claims_of(const NewFile& wanted, uint32_t type, uint64_t rdev) {
  Claims claims{.mode = type | (wanted.mode & 07777)};
  if (wanted.uid != kNoUid) claims.uid = wanted.uid;
  if (wanted.gid != kNoUid) claims.gid = wanted.gid;
  if (type == S_IFCHR || type == S_IFBLK) claims.rdev = rdev;
  return claims;
}

timespec time_of(uint32_t valid, uint32_t set, uint32_t set_to, const Seconds& value) noexcept {
  if ((valid & set) == 0) return {0, UTIME_OMIT};
  if ((valid & set_to) == 0) return {0, UTIME_NOW};
  return {static_cast<time_t>(value.seconds), static_cast<long>(value.nanoseconds)};
}

Outcome set_times(const Item& item, const Tsetattr& request) {
  constexpr uint64_t kSecond = 1'000'000'000;
  if (request.accessed.nanoseconds >= kSecond || request.modified.nanoseconds >= kSecond)
    return Failure{EINVAL};
  return change_times(item.self->get(),
                      {time_of(request.valid, kSetAccessed, kSetAccessedTo, request.accessed),
                       time_of(request.valid, kSetModified, kSetModifiedTo, request.modified)});
}

}  // namespace

std::optional<DirectoryEntry> DirectoryEntries::next() noexcept {
  constexpr size_t kNameOffset = offsetof(dirent64, d_name);
  if (size_ - position_ < kNameOffset) return std::nullopt;
  const char* const at = bytes_.get() + position_;
  DirectoryEntry entry;
  uint16_t length = 0;
  std::memcpy(&entry.inode, at + offsetof(dirent64, d_ino), sizeof(entry.inode));
  std::memcpy(&entry.next, at + offsetof(dirent64, d_off), sizeof(entry.next));
  std::memcpy(&length, at + offsetof(dirent64, d_reclen), sizeof(length));
  std::memcpy(&entry.type, at + offsetof(dirent64, d_type), sizeof(entry.type));
  entry.name = {at + kNameOffset, ::strnlen(at + kNameOffset, length - kNameOffset)};
  position_ += length;
  return entry;
}

LocalFs::LocalFs(const ShareConfig& config)
    : read_only_(config.read_only),
      ownership_(config.security, config.squash),
      root_(share(open_root(config.directory))),
      mount_(::open(config.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
      root_attributes_(*attributes_of(root_->get())),
      local_(p9::is_local(root_->get())) {}

int LocalFs::check_name(std::string_view name) const noexcept {
  if (name.empty() || ownership_.is_reserved(name)) return ENOENT;
  return is_plain_name(name) ? 0 : EINVAL;
}

Result<Entry> LocalFs::look_up(const SharedFd& directory, const std::string& name,
                               Wait wait) const {
  if (wait == Wait::cached_only && (!local_ || is_mapped())) return Failure{EAGAIN};
  auto fd = open_entry(directory->get(), name, wait);
  if (!fd) return fd.failure();
  return entry_of(std::move(*fd), directory, name);
}

Result<Entry> LocalFs::entry_of(UniqueFd fd, const SharedFd& directory,
                                const std::string& name) const {
  Entry entry{.fd = share(std::move(fd))};
  const auto host = attributes_of(entry.fd->get());
  if (!host) return host.failure();
  entry.host = *host;
  if (!is_mapped()) {
    entry.seen = *host;
    return entry;
  }
  const auto seen = ownership_.seen({entry.fd, directory, name}, *host);
  if (!seen) return seen.failure();
  entry.seen = *seen;
  return entry;
}

Result<Attributes> LocalFs::attributes(const Item& item) const {
  const auto host = attributes_of(item.self->get());
  if (!host || !is_mapped()) return host;
  return ownership_.seen(item, *host);
}

Result<UniqueFd> LocalFs::find_again(const FileHandle* handle, const Item& item,
                                     const FileId& id) const {
  if (handle && mount_) {
    auto fd = open_handle(mount_.get(), *handle);
    if (fd) return fd;
  }
  if (!item.parent) return Failure{ESTALE};
  auto fd = open_entry(item.parent->get(), item.name);
  if (!fd) return Failure{fd.error() == ENOENT ? ESTALE : fd.error()};
  const auto attributes = attributes_of(fd->get());
  if (!attributes) return attributes.failure();
  if (id_of(*attributes) != id) return Failure{ESTALE};
  return fd;
}

Result<UniqueFd> LocalFs::open(const Item& item, uint32_t flags) const {
  if (read_only_ && writes(flags)) return Failure{EROFS};
  const auto mode = mode_for_data(item);
  if (!mode) return mode.failure();
  return reopen(item.self->get(), *mode, static_cast<int>(flags & kOpenFlags));
}

// Of a file whose bytes are the guest's to reach: those of a mapped link or device are ours.
Result<uint32_t> LocalFs::mode_for_data(const Item& item) const {
  const auto seen = attributes(item);
  if (!seen) return seen.failure();
  if (S_ISLNK(seen->mode)) return Failure{ELOOP};
  if (!S_ISREG(seen->mode) && !S_ISDIR(seen->mode)) return Failure{ENXIO};
  return seen->mode;
}

// Somebody else made it first, and the guest takes what it is.
Result<UniqueFd> LocalFs::open_existing(const Item& place, uint32_t flags) const {
  auto entry = open_entry(place.parent->get(), place.name);
  if (!entry) return entry.failure();
  return open({.self = share(std::move(*entry)), .parent = place.parent, .name = place.name},
              flags);
}

Result<Created> LocalFs::create(const Item& place, uint32_t flags, const NewFile& wanted) const {
  if (read_only_) return Failure{EROFS};
  const int directory = place.parent->get();
  const int how =
      static_cast<int>(flags & kOpenFlags) | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC;
  UniqueFd fd(
      ::openat(directory, place.name.c_str(), how, ownership_.mode_to_make(wanted.mode, false)));
  const bool exists = !fd && errno == EEXIST && (flags & O_EXCL) == 0;
  if (!fd && !exists) return last_failure();
  if (exists) {
    auto existing = open_existing(place, flags);
    if (!existing) return existing.failure();
    fd = std::move(*existing);
  }
  const SharedFd file = share(std::move(fd));
  const Item made{file, place.parent, place.name};
  const bool cuts = exists && (flags & O_TRUNC) != 0;
  if (cuts && wanted.uid != 0) static_cast<void>(clear_set_id(made));
  const auto host = attributes_of(file->get());
  if (!host) return host.failure();
  if (!exists) {
    const Outcome settled = ownership_.settle(made, *host, claims_of(wanted, S_IFREG, 0));
    if (!settled) {
      ::unlinkat(directory, place.name.c_str(), 0);
      return settled.failure();
    }
  }
  const auto seen = ownership_.seen(made, *host);
  if (!seen) return seen.failure();
  return Created{file, *host, *seen};
}

// Its owner and mode, by its descriptor where that is needed, so that nobody can put another file
// in the way.
Outcome LocalFs::settle_entry(const Item& place, const Attributes& host,
                              const Claims& claims) const {
  auto fd = open_entry(place.parent->get(), place.name);
  if (!fd) return fd.failure();
  return ownership_.settle({share(std::move(*fd)), place.parent, place.name}, host, claims);
}

Result<Attributes> LocalFs::settle_made(const Item& place, const NewFile& wanted, uint64_t rdev,
                                        bool directory) const {
  auto host = attributes_at(place.parent->get(), place.name);
  if (!host) return host;
  const uint32_t type = is_mapped() ? wanted.mode & S_IFMT : host->mode & S_IFMT;
  const Outcome settled = settle_entry(place, *host, claims_of(wanted, type, rdev));
  if (!settled) {
    ::unlinkat(place.parent->get(), place.name.c_str(), directory ? AT_REMOVEDIR : 0);
    return settled.failure();
  }
  if (is_mapped()) host->mode = type | (wanted.mode & 07777);
  return host;
}

Result<Attributes> LocalFs::make_directory(const Item& place, const NewFile& wanted) const {
  if (read_only_) return Failure{EROFS};
  if (::mkdirat(place.parent->get(), place.name.c_str(),
                ownership_.mode_to_make(wanted.mode, true)) != 0)
    return last_failure();
  NewFile made = wanted;
  made.mode = S_IFDIR | (wanted.mode & 07777);
  return settle_made(place, made, 0, true);
}

Result<Attributes> LocalFs::make_node(const Item& place, uint64_t rdev,
                                      const NewFile& wanted) const {
  if (read_only_) return Failure{EROFS};
  NewFile made = wanted;
  if ((made.mode & S_IFMT) == 0) made.mode |= S_IFREG;
  if (S_ISDIR(made.mode) || S_ISLNK(made.mode)) return Failure{EINVAL};
  const uint32_t type = is_mapped() ? S_IFREG : made.mode & S_IFMT;
  if (::mknodat(place.parent->get(), place.name.c_str(),
                type | ownership_.mode_to_make(made.mode, false), rdev) != 0)
    return last_failure();
  return settle_made(place, made, rdev, false);
}

Result<Attributes> LocalFs::make_symlink(const Item& place, const std::string& target,
                                         const NewFile& wanted) const {
  if (read_only_) return Failure{EROFS};
  if (target.empty()) return Failure{ENOENT};
  if (target.size() >= PATH_MAX) return Failure{ENAMETOOLONG};
  if (target.find('\0') != std::string::npos) return Failure{EINVAL};
  const int directory = place.parent->get();
  if (is_mapped()) {
    const UniqueFd file(::openat(directory, place.name.c_str(),
                                 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return last_failure();
    if (const auto error = write_all(file.get(), std::as_bytes(std::span(target))); error) {
      ::unlinkat(directory, place.name.c_str(), 0);
      return Failure{error.value()};
    }
  } else if (::symlinkat(target.c_str(), directory, place.name.c_str()) != 0) {
    return last_failure();
  }
  NewFile made = wanted;
  made.mode = S_IFLNK | 0777;
  return settle_made(place, made, 0, false);
}

Outcome LocalFs::link(const Item& item, const Item& place) const {
  if (read_only_) return Failure{EROFS};
  const Outcome linked = link_to(item.self->get(), place.parent->get(), place.name);
  if (linked && item.parent)
    ownership_.follow_link(item.parent->get(), item.name, place.parent->get(), place.name);
  return linked;
}

Outcome LocalFs::rename(const Item& from, const Item& to) const {
  if (read_only_) return Failure{EROFS};
  ownership_.clear_directory(to.parent->get(), to.name);
  if (::renameat(from.parent->get(), from.name.c_str(), to.parent->get(), to.name.c_str()) != 0)
    return last_failure();
  ownership_.follow_rename(from.parent->get(), from.name, to.parent->get(), to.name);
  return Done{};
}

Outcome LocalFs::unlink(const Item& place, bool directory) const {
  if (read_only_) return Failure{EROFS};
  if (directory) ownership_.clear_directory(place.parent->get(), place.name);
  if (::unlinkat(place.parent->get(), place.name.c_str(), directory ? AT_REMOVEDIR : 0) != 0)
    return last_failure();
  ownership_.forget(place.parent->get(), place.name);
  return Done{};
}

Result<std::string> LocalFs::read_link(const Item& item) const {
  const auto host = attributes_of(item.self->get());
  if (!host) return host.failure();
  if (S_ISLNK(host->mode)) return p9::read_link(item.self->get());
  const auto seen = ownership_.seen(item, *host);
  if (!seen) return seen.failure();
  if (!S_ISLNK(seen->mode)) return Failure{EINVAL};
  const auto file = reopen(item.self->get(), host->mode, O_RDONLY);
  if (!file) return file.failure();
  std::string target(PATH_MAX, '\0');
  const ssize_t length = ::pread(file->get(), target.data(), target.size(), 0);
  if (length < 0) return last_failure();
  target.resize(static_cast<size_t>(length));
  return target;
}

Outcome LocalFs::set_owner_and_mode(const Item& item, const Tsetattr& request) const {
  const bool owner = (request.valid & (kSetUid | kSetGid)) != 0;
  // Only the time of change: a change of owner to nobody else.
  const bool touch = request.valid == kSetChanged;
  const auto host = attributes_of(item.self->get());
  if (!host) return host.failure();
  if (owner || touch) {
    const uint32_t uid = (request.valid & kSetUid) != 0 ? request.uid : kNoUid;
    const uint32_t gid = (request.valid & kSetGid) != 0 ? request.gid : kNoUid;
    const Outcome changed = ownership_.change_owner(item, *host, uid, gid);
    if (!changed) return changed;
  }
  if ((request.valid & kSetMode) == 0) return Done{};
  const auto seen = ownership_.seen(item, *host);
  if (!seen) return seen.failure();
  return ownership_.change_mode(item, (seen->mode & S_IFMT) | (request.mode & 07777));
}

Outcome LocalFs::set_size(const Item& item, uint64_t size, int writable) const {
  if (size > static_cast<uint64_t>(INT64_MAX)) return Failure{EFBIG};
  if (writable >= 0) return outcome_of(::ftruncate(writable, static_cast<off_t>(size)));
  const auto mode = mode_for_data(item);
  if (!mode) return mode.failure();
  return change_size(item.self->get(), *mode, size);
}

// The size first: with a new mode or owner it might no longer be allowed. The times last.
Outcome LocalFs::set_attributes(const Item& item, const Tsetattr& request, int writable) const {
  if (read_only_) return Failure{EROFS};
  if ((request.valid & kSetSize) != 0) {
    const Outcome resized = set_size(item, request.size, writable);
    if (!resized) return resized;
  }
  if ((request.valid & (kSetMode | kSetUid | kSetGid)) != 0 || request.valid == kSetChanged) {
    const Outcome changed = set_owner_and_mode(item, request);
    if (!changed) return changed;
  }
  if ((request.valid & (kSetAccessed | kSetModified)) == 0) return Done{};
  return set_times(item, request);
}

Outcome LocalFs::clear_set_id(const Item& item) const {
  if (read_only_) return Failure{EROFS};
  const auto seen = attributes(item);
  if (!seen) return seen.failure();
  uint32_t mode = seen->mode & ~uint32_t{S_ISUID};
  if ((mode & S_IXGRP) != 0) mode &= ~uint32_t{S_ISGID};
  if (!S_ISREG(seen->mode) || mode == seen->mode) return Done{};
  return ownership_.change_mode(item, mode);
}

Result<DirectoryEntries> LocalFs::read_entries(int directory, std::optional<uint64_t> seek,
                                               size_t room) const {
  if (seek && ::lseek(directory, static_cast<off_t>(*seek), SEEK_SET) < 0) return last_failure();
  DirectoryEntries entries(room);
  const long length =
      ::syscall(SYS_getdents64, directory, entries.room(room).data(), static_cast<unsigned>(room));
  if (length < 0) return last_failure();
  entries.filled(static_cast<size_t>(length));
  return entries;
}

Result<struct statfs> LocalFs::statistics(const Item& item) const {
  struct statfs status {};
  if (::fstatfs(item.self->get(), &status) != 0) return last_failure();
  return status;
}

Outcome LocalFs::sync(const Item& item, int open_file, bool data_only) const {
  UniqueFd opened;
  if (open_file < 0) {
    auto file = open(item, O_RDONLY);
    if (!file) return file.failure();
    opened = std::move(*file);
    open_file = opened.get();
  }
  return outcome_of(data_only ? ::fdatasync(open_file) : ::fsync(open_file));
}

Result<std::vector<std::byte>> LocalFs::xattr(const Item& item, std::string_view name) const {
  const auto on_host = ownership_.xattr_on_host(name);
  if (!on_host) return Failure{EOPNOTSUPP};
  std::vector<std::byte> value(XATTR_SIZE_MAX);
  const auto length = get_xattr(item.self->get(), *on_host, value);
  if (!length) return length.failure();
  value.resize(*length);
  value.shrink_to_fit();
  return value;
}

Result<std::vector<std::byte>> LocalFs::xattr_list(const Item& item) const {
  std::vector<std::byte> list(XATTR_LIST_MAX);
  const auto length = list_xattrs(item.self->get(), list);
  if (!length) return length.failure();
  std::string_view rest(reinterpret_cast<const char*>(list.data()), *length);
  std::string names;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\0'), rest.size());
    if (const auto name = ownership_.xattr_in_guest(rest.substr(0, end)))
      names.append(*name).push_back('\0');
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  const auto bytes = std::as_bytes(std::span(names));
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

Outcome LocalFs::set_xattr(const Item& item, std::string_view name,
                           std::span<const std::byte> value, int flags) const {
  if (read_only_) return Failure{EROFS};
  const auto on_host = ownership_.xattr_on_host(name);
  if (!on_host) return Failure{EOPNOTSUPP};
  return p9::set_xattr(item.self->get(), *on_host, value, flags);
}

Outcome LocalFs::remove_xattr(const Item& item, std::string_view name) const {
  if (read_only_) return Failure{EROFS};
  const auto on_host = ownership_.xattr_on_host(name);
  if (!on_host) return Failure{EOPNOTSUPP};
  return p9::remove_xattr(item.self->get(), *on_host);
}

}  // namespace vireo::p9
