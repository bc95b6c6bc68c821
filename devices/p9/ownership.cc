#include "devices/p9/ownership.h"

#include <fcntl.h>
#include <unistd.h>

#include "devices/p9/claims_file.h"
#include "devices/p9/claims_xattr.h"

namespace vireo::p9 {

namespace {

constexpr uint32_t kAsIs = ~uint32_t{0};
constexpr std::string_view kAcl = "system.posix_acl_";

// A claim makes a regular file of the host's something else; it does not make a directory of one.
uint32_t claimed_mode(uint32_t host, uint32_t claimed) noexcept {
  const uint32_t type = claimed & S_IFMT;
  const bool plausible = S_ISREG(host) && type != S_IFDIR && type != 0;
  return (plausible ? type : host & S_IFMT) | (claimed & 07777);
}

}  // namespace

bool Ownership::is_reserved(std::string_view name) const noexcept {
  return is_in_files() && (name == claims_file::kDirectory || name == claims_file::kRootFile ||
                           name.starts_with(claims_file::kNew));
}

Result<Claims> Ownership::claims_of(const Item& item) const {
  return is_in_files() ? claims_file::read(item) : claims_xattr::read(item.self->get());
}

// What is written beside the file does not change the file's own time of change, a change of owner
// to nobody else does.
Outcome Ownership::claim(const Item& item, const Claims& claims) const {
  if (!is_in_files()) return claims_xattr::write(item.self->get(), claims);
  const Outcome written = claims_file::write(item, claims);
  if (written) static_cast<void>(p9::change_owner(item.self->get(), kAsIs, kAsIs));
  return written;
}

Result<Attributes> Ownership::seen(const Item& item, const Attributes& host) const {
  if (!is_mapped()) return host;
  const auto claims = claims_of(item);
  if (!claims) return claims.failure();
  Attributes seen = host;
  seen.uid = claims->uid.value_or(host.uid);
  seen.gid = claims->gid.value_or(host.gid);
  seen.rdev = claims->rdev.value_or(host.rdev);
  if (claims->mode) seen.mode = claimed_mode(host.mode, *claims->mode);
  return seen;
}

// Not when it is so already: an ordinary user may not even say so.
Outcome Ownership::own(int fd, const Attributes& host, uint32_t uid, uint32_t gid) const {
  if (squash_) {
    uid = squash_->uid;
    gid = squash_->gid;
  } else if (is_mapped()) {
    return Done{};
  }
  if (uid == host.uid) uid = kAsIs;
  if (gid == host.gid) gid = kAsIs;
  if (uid == kAsIs && gid == kAsIs) return Done{};
  const Outcome changed = p9::change_owner(fd, uid, gid);
  if (!changed && changed.error() == EPERM && security_ == Security::none) return Done{};
  return changed;
}

Outcome Ownership::settle(const Item& item, const Attributes& host, const Claims& claims) const {
  const Outcome owned =
      own(item.self->get(), host, claims.uid.value_or(kAsIs), claims.gid.value_or(kAsIs));
  if (!owned) return owned;
  if (is_mapped()) return claim(item, claims);
  // The host's umask has no say in what the guest asked for, and a change of owner may have taken
  // bits away; a directory keeps the set-group-id bit it has from its parent.
  const uint32_t wanted = claims.mode.value_or(host.mode) & 07777;
  const uint32_t inherited = S_ISDIR(host.mode) ? host.mode & S_ISGID : 0;
  const bool special = (wanted & (S_ISUID | S_ISGID)) != 0;
  if (S_ISLNK(host.mode) || ((host.mode & 07777) == (wanted | inherited) && !special))
    return Done{};
  return p9::change_mode(item.self->get(), wanted | inherited);
}

Outcome Ownership::change_mode(const Item& item, uint32_t mode) const {
  if (is_mapped()) return claim(item, {.mode = mode});
  return p9::change_mode(item.self->get(), mode);
}

Outcome Ownership::change_owner(const Item& item, const Attributes& host, uint32_t uid,
                                uint32_t gid) const {
  if (is_mapped()) {
    Claims claims;
    if (uid != kAsIs) claims.uid = uid;
    if (gid != kAsIs) claims.gid = gid;
    return claim(item, claims);
  }
  if (squash_) return Done{};
  if (uid == kAsIs && gid == kAsIs) return p9::change_owner(item.self->get(), uid, gid);
  return own(item.self->get(), host, uid, gid);
}

uint32_t Ownership::mode_to_make(uint32_t mode, bool directory) const noexcept {
  if (!is_mapped()) return mode & 07777;
  return directory ? 0700 : 0600;
}

void Ownership::forget(int directory, const std::string& name) const {
  if (is_in_files()) claims_file::forget(directory, name);
}

void Ownership::follow_rename(int from, const std::string& from_name, int to,
                              const std::string& to_name) const {
  if (is_in_files()) claims_file::rename(from, from_name, to, to_name);
}

void Ownership::follow_link(int from, const std::string& from_name, int to,
                            const std::string& to_name) const {
  if (is_in_files()) claims_file::link(from, from_name, to, to_name);
}

// rmdir() of the metadata's directory fails while there is metadata of a file that still exists,
// and so does then that of the directory.
void Ownership::clear_directory(int directory, const std::string& name) const {
  if (!is_in_files()) return;
  const auto inside = open_entry(directory, name);
  if (inside) ::unlinkat(inside->get(), std::string(claims_file::kDirectory).c_str(), AT_REMOVEDIR);
}

std::optional<std::string> Ownership::xattr_on_host(std::string_view name) const {
  if (!is_mapped()) return std::string(name);
  if (security_ == Security::mapped_xattr && name.starts_with(kAcl))
    return std::string(claims_xattr::kPrefix) + std::string(name);
  if (!name.starts_with("user.") || name.starts_with(claims_xattr::kPrefix)) return std::nullopt;
  return std::string(name);
}

std::optional<std::string> Ownership::xattr_in_guest(std::string_view name) const {
  if (!is_mapped()) return std::string(name);
  if (!name.starts_with("user.")) return std::nullopt;
  if (!name.starts_with(claims_xattr::kPrefix)) return std::string(name);
  name.remove_prefix(claims_xattr::kPrefix.size());
  if (security_ == Security::mapped_xattr && name.starts_with(kAcl)) return std::string(name);
  return std::nullopt;
}

}  // namespace vireo::p9
