// Who owns what: how the guest's users, modes and device nodes are kept on the host. The models,
// their names and what they write are QEMU's (docs: "security_model"), so that a share can move
// between the two.
//
//   none, passthrough  as they are; the host's kernel says what may be. none does not report when
//                      the host refuses a change of owner, and so works for ordinary users.
//   mapped-xattr       in user.virtfs.{uid,gid,mode,rdev} of each file, little-endian; links and
//                      device nodes are regular files on the host.
//   mapped-file        the same as lines "virtfs.uid=…" of .virtfs_metadata/NAME beside the file,
//                      for file systems without extended attributes.
//
// Any thread; immutable. Blocks: not for the loop unless is_mapped() is false.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "devices/p9/host.h"

namespace vireo::p9 {

enum class Security : uint8_t { none, passthrough, mapped_xattr, mapped_file };

struct Owner {
  uint32_t uid = 0;
  uint32_t gid = 0;
};

// What the guest is told in place of what the host has.
struct Claims {
  std::optional<uint32_t> uid{}, gid{}, mode{};
  std::optional<uint64_t> rdev{};
};

class Ownership {
 public:
  // `squash` is who owns on the host what the guest makes, whoever made it there.
  Ownership(Security security, std::optional<Owner> squash) noexcept
      : security_(security), squash_(squash) {}

  bool is_mapped() const noexcept {
    return security_ == Security::mapped_xattr || security_ == Security::mapped_file;
  }
  bool is_in_files() const noexcept { return security_ == Security::mapped_file; }
  // Names that the guest neither sees nor uses.
  bool is_reserved(std::string_view name) const noexcept;

  // The attributes as the guest sees them, from those of the host.
  Result<Attributes> seen(const Item& item, const Attributes& host) const;

  // For a file just made: its owner and its mode with the type. `host` is what it has so far.
  Outcome settle(const Item& item, const Attributes& host, const Claims& claims) const;
  Outcome change_mode(const Item& item, uint32_t mode) const;  // with the type
  Outcome change_owner(const Item& item, const Attributes& host, uint32_t uid, uint32_t gid) const;
  // The mode to make a file with on the host.
  uint32_t mode_to_make(uint32_t mode, bool directory) const noexcept;

  // What is kept beside a file goes where the file goes. The directories are open.
  void forget(int directory, const std::string& name) const;
  void follow_rename(int from, const std::string& from_name, int to,
                     const std::string& to_name) const;
  void follow_link(int from, const std::string& from_name, int to,
                   const std::string& to_name) const;
  // Makes an otherwise empty directory of ours really empty.
  void clear_directory(int directory, const std::string& name) const;

  // The host's name of an extended attribute of the guest's; nothing: there is no such one.
  std::optional<std::string> xattr_on_host(std::string_view name) const;
  std::optional<std::string> xattr_in_guest(std::string_view name) const;

 private:
  Outcome claim(const Item& item, const Claims& claims) const;
  Result<Claims> claims_of(const Item& item) const;
  Outcome own(int fd, const Attributes& host, uint32_t uid, uint32_t gid) const;

  Security security_;
  std::optional<Owner> squash_;
};

}  // namespace vireo::p9
