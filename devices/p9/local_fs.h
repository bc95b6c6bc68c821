// A directory of the host's as the server sees it: whole operations on items, each a few of the
// calls of host.h, with the ownership model applied and a read-only share kept so.
//
// Any thread, concurrently: immutable after construction. Everything blocks but what says
// otherwise. Owns the descriptors of the root. Errors are errnos, after the constructor.
#pragma once

#include <sys/statfs.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "devices/p9/host.h"
#include "devices/p9/ownership.h"
#include "devices/p9/wire.h"

namespace vireo::p9 {

struct ShareConfig {
  std::string directory{};
  bool read_only = false;
  Security security = Security::none;
  std::optional<Owner> squash{};
  uint32_t max_message = kMaxMessage;  // kMinMessage..kMaxMessage
  size_t descriptors = 512;            // of the host's that the share may hold; at least 64
  size_t files = 1 << 18;              // that the guest may hold fids of
  size_t memory = 64 << 20;            // bytes that the fids and the names behind them may take
  bool own_loop = false;               // the server's loop has no other work
};

// What Tsetattr's `valid` is made of.
inline constexpr uint32_t kSetMode = 1, kSetUid = 2, kSetGid = 4, kSetSize = 8, kSetAccessed = 16,
                          kSetModified = 32, kSetChanged = 64, kSetAccessedTo = 128,
                          kSetModifiedTo = 256;

struct Entry {
  SharedFd fd{};      // O_PATH
  Attributes host{};  // as they are
  Attributes seen{};  // as the guest sees them
};

struct NewFile {
  uint32_t mode = 0;  // with the type, where that is not given by the call
  uint32_t uid = kNoUid, gid = kNoUid;
};

struct Created {
  SharedFd file{};  // open as was asked

  Attributes host{};
  Attributes seen{};
};

struct DirectoryEntry {
  uint64_t inode = 0;
  uint64_t next = 0;  // the offset of what follows
  uint8_t type = 0;   // DT_DIR, …; DT_UNKNOWN where it would have to be looked up
  std::string_view name{};
};

// Entries as the kernel packed them.
class DirectoryEntries {
 public:
  explicit DirectoryEntries(size_t room) : bytes_(std::make_unique_for_overwrite<char[]>(room)) {}
  std::span<char> room(size_t size) noexcept { return {bytes_.get(), size}; }
  void filled(size_t size) noexcept { size_ = size; }
  // Takes the first that is left.
  std::optional<DirectoryEntry> next() noexcept;

 private:
  std::unique_ptr<char[]> bytes_;
  size_t size_ = 0, position_ = 0;
};

class LocalFs {
 public:
  // Throws ConfigError or std::system_error: no such directory, no permission, …
  explicit LocalFs(const ShareConfig& config);

  const SharedFd& root() const noexcept { return root_; }
  const Attributes& root_attributes() const noexcept { return root_attributes_; }
  bool is_local() const noexcept { return local_; }
  bool is_mapped() const noexcept { return ownership_.is_mapped(); }
  bool is_read_only() const noexcept { return read_only_; }
  // A name a guest may use: 0, or the errno that says why not.
  int check_name(std::string_view name) const noexcept;

  // With Wait::cached_only they fail with EAGAIN where they would have to wait.
  Result<Entry> look_up(const SharedFd& directory, const std::string& name, Wait wait) const;
  Result<Attributes> attributes(const Item& item) const;  // as the guest sees them
  // The file of a handle, if there is one, or what has now the name, if it is that file.
  Result<UniqueFd> find_again(const FileHandle* handle, const Item& item, const FileId& id) const;

  Result<UniqueFd> open(const Item& item, uint32_t flags) const;
  Result<Created> create(const Item& place, uint32_t flags, const NewFile& wanted) const;
  Result<Attributes> make_directory(const Item& place, const NewFile& wanted) const;
  Result<Attributes> make_node(const Item& place, uint64_t rdev, const NewFile& wanted) const;
  Result<Attributes> make_symlink(const Item& place, const std::string& target,
                                  const NewFile& wanted) const;
  Outcome link(const Item& item, const Item& place) const;
  Outcome rename(const Item& from, const Item& to) const;
  Outcome unlink(const Item& place, bool directory) const;
  Result<std::string> read_link(const Item& item) const;

  // `writable` is a descriptor to change the size by, or -1.
  Outcome set_attributes(const Item& item, const Tsetattr& request, int writable) const;
  // What the host's kernel does for those who write or cut as somebody else than root (POSIX,
  // write() and ftruncate()).
  Outcome clear_set_id(const Item& item) const;

  Result<DirectoryEntries> read_entries(int directory, std::optional<uint64_t> seek,
                                        size_t room) const;
  bool hides(std::string_view name) const noexcept { return ownership_.is_reserved(name); }
  Result<struct statfs> statistics(const Item& item) const;
  Outcome sync(const Item& item, int open_file, bool data_only) const;

  Result<std::vector<std::byte>> xattr(const Item& item, std::string_view name) const;
  Result<std::vector<std::byte>> xattr_list(const Item& item) const;
  Outcome set_xattr(const Item& item, std::string_view name, std::span<const std::byte> value,
                    int flags) const;
  Outcome remove_xattr(const Item& item, std::string_view name) const;

 private:
  Result<Entry> entry_of(UniqueFd fd, const SharedFd& directory, const std::string& name) const;
  Result<UniqueFd> open_existing(const Item& place, uint32_t flags) const;
  Result<Attributes> settle_made(const Item& place, const NewFile& wanted, uint64_t rdev,
                                 bool directory) const;
  Outcome settle_entry(const Item& place, const Attributes& host, const Claims& claims) const;
  Result<uint32_t> mode_for_data(const Item& item) const;
  Outcome set_size(const Item& item, uint64_t size, int writable) const;
  Outcome set_owner_and_mode(const Item& item, const Tsetattr& request) const;

  const bool read_only_;
  const Ownership ownership_;
  SharedFd root_;
  UniqueFd mount_;  // the root, not O_PATH, for handles; none when it can not be read
  Attributes root_attributes_;
  bool local_ = false;
};

}  // namespace vireo::p9
