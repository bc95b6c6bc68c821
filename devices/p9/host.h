// The system calls on the host's files, in the forms that cannot leave a directory: one name at a
// time, relative to an open directory, links not followed; everything else on an object that a
// descriptor holds already.
//
// Any thread. Names are checked by is_plain_name() before they come here; there is no path here
// that a guest has part in. Errors are errnos.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "devices/p9/result.h"
#include "vmm/base/fd.h"

namespace vireo::p9 {

using SharedFd = std::shared_ptr<const UniqueFd>;
inline SharedFd share(UniqueFd fd) {
  return std::make_shared<const UniqueFd>(std::move(fd));
}

// What can name an entry of a directory: not empty, not "." or "..", no slash, no NUL.
bool is_plain_name(std::string_view name) noexcept;

struct Attributes {
  uint64_t device = 0, inode = 0;
  uint32_t mode = 0, uid = 0, gid = 0;
  uint64_t links = 0, rdev = 0, size = 0, block_size = 0, blocks = 0;
  timespec accessed{}, modified{}, changed{}, born{};
  bool has_born = false;
};

// Tells a file from another that has its inode number at another time, where the file system
// keeps birth times.
struct FileId {
  uint64_t device = 0, inode = 0;
  int64_t born_ns = 0;
  bool operator==(const FileId&) const = default;
};
FileId id_of(const Attributes& attributes) noexcept;

// A file to act on. Whoever makes one keeps the descriptors open meanwhile.
struct Item {
  SharedFd self{};     // of the file itself, O_PATH or not
  SharedFd parent{};   // of the directory it was found in; none: it is the root of the share
  std::string name{};  // there
};

enum class Wait : uint8_t { may_block, cached_only };  // cached_only: EAGAIN instead of blocking

// An O_PATH descriptor of an entry, whatever it is; a link is not followed.
Result<UniqueFd> open_entry(int directory, const std::string& name, Wait wait = Wait::may_block);
Result<Attributes> attributes_of(int fd);
Result<Attributes> attributes_at(int directory, const std::string& name);

// --- through /proc/self/fd, where the object of an O_PATH descriptor can be had as such ---

// Opens a regular file or a directory once more; anything else is ENXIO, because to open a FIFO, a
// device or a socket does something.
Result<UniqueFd> reopen(int fd, uint32_t mode, int flags);
Outcome change_mode(int fd, uint32_t mode);
Outcome link_to(int fd, int directory, const std::string& name);
Outcome change_times(int fd, const std::array<timespec, 2>& accessed_and_modified);
Outcome change_owner(int fd, uint32_t uid, uint32_t gid);  // ~0: as it is
Outcome change_size(int fd, uint32_t mode, uint64_t size);

// Extended attributes. The span of get may be empty: then only the size comes back.
Result<size_t> get_xattr(int fd, const std::string& name, std::span<std::byte> into);
Result<size_t> list_xattrs(int fd, std::span<std::byte> into);
Outcome set_xattr(int fd, const std::string& name, std::span<const std::byte> value, int flags);
Outcome remove_xattr(int fd, const std::string& name);

// The text of a link; at most 4096 bytes, Linux' limit.
Result<std::string> read_link(int fd);

// An inode by its number, for descriptors that are closed while nobody needs them.
struct FileHandle {
  int type = 0;
  std::vector<std::byte> bytes{};
};
Result<FileHandle> handle_of(int fd);
// `mount` is an ordinary descriptor on the same file system; needs CAP_DAC_READ_SEARCH.
Result<UniqueFd> open_handle(int mount, const FileHandle& handle);

// Linux' own file systems on local disks and in memory, where to look at an inode that is in memory
// does not wait for anybody.
bool is_local(int fd);

}  // namespace vireo::p9
