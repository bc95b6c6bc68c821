#include "devices/p9/host.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstring>

namespace vireo::p9 {

namespace {

// RESOLVE_CACHED came with Linux 5.12; older headers do not have it.
constexpr uint64_t kResolveCached = 0x20;
constexpr long kXfsMagic = 0x58465342;

// "/proc/self/fd/N": the one path there is, made of a number of our own.
class FdPath {
 public:
  explicit FdPath(int fd) noexcept {
    std::snprintf(text_.data(), text_.size(), "/proc/self/fd/%d", fd);
  }
  const char* c_str() const noexcept { return text_.data(); }

 private:
  std::array<char, 32> text_{};
};

Attributes from_statx(const struct statx& from) noexcept {
  const auto time = [](const statx_timestamp& stamp) {
    return timespec{static_cast<time_t>(stamp.tv_sec), static_cast<long>(stamp.tv_nsec)};
  };
  Attributes to;
  to.device = makedev(from.stx_dev_major, from.stx_dev_minor);
  to.inode = from.stx_ino;
  to.mode = from.stx_mode;
  to.uid = from.stx_uid;
  to.gid = from.stx_gid;
  to.links = from.stx_nlink;
  to.rdev = makedev(from.stx_rdev_major, from.stx_rdev_minor);
  to.size = from.stx_size;
  to.block_size = from.stx_blksize;
  to.blocks = from.stx_blocks;
  to.accessed = time(from.stx_atime);
  to.modified = time(from.stx_mtime);
  to.changed = time(from.stx_ctime);
  to.has_born = (from.stx_mask & STATX_BTIME) != 0;
  if (to.has_born) to.born = time(from.stx_btime);
  return to;
}

Result<Attributes> call_statx(int directory, const char* name, int flags) {
  struct statx status {};
  if (::statx(directory, name, flags, STATX_BASIC_STATS | STATX_BTIME, &status) != 0)
    return last_failure();
  return from_statx(status);
}

// struct file_handle with room for the largest.
struct HandleBuffer {
  alignas(file_handle) std::array<std::byte, sizeof(file_handle) + MAX_HANDLE_SZ> bytes{};
  file_handle* get() noexcept { return reinterpret_cast<file_handle*>(bytes.data()); }
};

Result<size_t> size_or_failure(ssize_t returned) noexcept {
  if (returned < 0) return last_failure();
  return static_cast<size_t>(returned);
}

}  // namespace

bool is_plain_name(std::string_view name) noexcept {
  constexpr std::string_view kForbidden("/\0", 2);
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(kForbidden) == std::string_view::npos;
}

FileId id_of(const Attributes& attributes) noexcept {
  constexpr int64_t kNanoseconds = 1'000'000'000;
  const int64_t born = attributes.born.tv_sec * kNanoseconds + attributes.born.tv_nsec;
  return {attributes.device, attributes.inode, born};
}

Result<UniqueFd> open_entry(int directory, const std::string& name, Wait wait) {
  VMM_CHECK(is_plain_name(name), "only a checked name is looked up");
  open_how how{};
  how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
  if (wait == Wait::cached_only) how.resolve |= kResolveCached;
  const long fd = ::syscall(SYS_openat2, directory, name.c_str(), &how, sizeof(how));
  if (fd < 0) return last_failure();
  return UniqueFd(static_cast<int>(fd));
}

Result<Attributes> attributes_of(int fd) {
  return call_statx(fd, "", AT_EMPTY_PATH);
}

Result<Attributes> attributes_at(int directory, const std::string& name) {
  VMM_CHECK(is_plain_name(name), "only a checked name is looked up");
  return call_statx(directory, name.c_str(), AT_SYMLINK_NOFOLLOW);
}

// O_NONBLOCK is for what the type check cannot see coming, such as a lease somebody holds.
Result<UniqueFd> reopen(int fd, uint32_t mode, int flags) {
  if (!S_ISREG(mode) && !S_ISDIR(mode)) return Failure{ENXIO};
  const int opened = ::open(FdPath(fd).c_str(), flags | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (opened < 0) return last_failure();
  return UniqueFd(opened);
}

Outcome change_mode(int fd, uint32_t mode) {
  return outcome_of(::chmod(FdPath(fd).c_str(), mode & 07777));
}

Outcome link_to(int fd, int directory, const std::string& name) {
  VMM_CHECK(is_plain_name(name), "only a checked name is made");
  return outcome_of(
      ::linkat(AT_FDCWD, FdPath(fd).c_str(), directory, name.c_str(), AT_SYMLINK_FOLLOW));
}

Outcome change_times(int fd, const std::array<timespec, 2>& accessed_and_modified) {
  return outcome_of(::utimensat(fd, "", accessed_and_modified.data(), AT_EMPTY_PATH));
}

Outcome change_owner(int fd, uint32_t uid, uint32_t gid) {
  return outcome_of(::fchownat(fd, "", uid, gid, AT_EMPTY_PATH));
}

Outcome change_size(int fd, uint32_t mode, uint64_t size) {
  if (S_ISDIR(mode)) return Failure{EISDIR};
  const auto opened = reopen(fd, mode, O_WRONLY);
  if (!opened) return opened.failure();
  return outcome_of(::ftruncate(opened->get(), static_cast<off_t>(size)));
}

Result<size_t> get_xattr(int fd, const std::string& name, std::span<std::byte> into) {
  return size_or_failure(::getxattr(FdPath(fd).c_str(), name.c_str(), into.data(), into.size()));
}

Result<size_t> list_xattrs(int fd, std::span<std::byte> into) {
  return size_or_failure(
      ::listxattr(FdPath(fd).c_str(), reinterpret_cast<char*>(into.data()), into.size()));
}

Outcome set_xattr(int fd, const std::string& name, std::span<const std::byte> value, int flags) {
  return outcome_of(
      ::setxattr(FdPath(fd).c_str(), name.c_str(), value.data(), value.size(), flags));
}

Outcome remove_xattr(int fd, const std::string& name) {
  return outcome_of(::removexattr(FdPath(fd).c_str(), name.c_str()));
}

Result<std::string> read_link(int fd) {
  std::string target(PATH_MAX, '\0');
  const ssize_t length = ::readlinkat(fd, "", target.data(), target.size());
  if (length < 0) return Failure{errno == ENOENT ? EINVAL : errno};  // ENOENT: it is no link
  target.resize(static_cast<size_t>(length));
  return target;
}

Result<FileHandle> handle_of(int fd) {
  HandleBuffer buffer;
  buffer.get()->handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;
  if (::name_to_handle_at(fd, "", buffer.get(), &mount_id, AT_EMPTY_PATH) != 0)
    return last_failure();
  const auto* const bytes = reinterpret_cast<const std::byte*>(buffer.get()->f_handle);
  return FileHandle{buffer.get()->handle_type, {bytes, bytes + buffer.get()->handle_bytes}};
}

Result<UniqueFd> open_handle(int mount, const FileHandle& handle) {
  HandleBuffer buffer;
  VMM_CHECK(handle.bytes.size() <= MAX_HANDLE_SZ, "a handle comes from the kernel");
  buffer.get()->handle_bytes = static_cast<unsigned>(handle.bytes.size());
  buffer.get()->handle_type = handle.type;
  std::memcpy(buffer.get()->f_handle, handle.bytes.data(), handle.bytes.size());
  const int fd = ::open_by_handle_at(mount, buffer.get(), O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return last_failure();
  return UniqueFd(fd);
}

bool is_local(int fd) {
  constexpr std::array<long, 6> kLocal{EXT4_SUPER_MAGIC,  TMPFS_MAGIC,      RAMFS_MAGIC,
                                       BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC, kXfsMagic};
  struct statfs status {};
  if (::fstatfs(fd, &status) != 0) return false;
  return std::find(kLocal.begin(), kLocal.end(), static_cast<long>(status.f_type)) != kLocal.end();
}

}  // namespace vireo::p9
