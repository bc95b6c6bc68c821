#include "devices/p9/claims_xattr.h"

#include "vmm/base/bytes.h"

namespace vireo::p9::claims_xattr {

namespace {

template <class T>
Outcome read_one(int fd, const char* name, std::optional<T>& value) {
  Le<T> stored;
  const auto length = get_xattr(fd, std::string(kPrefix) + name, writable_bytes_of(stored));
  // Links and special files of the host's own cannot have user attributes.
  if (!length && (length.error() == ENODATA || length.error() == EOPNOTSUPP ||
                  length.error() == EPERM || length.error() == ERANGE))
    return Done{};
  if (!length) return length.failure();
  if (*length == sizeof(T)) value = stored;
  return Done{};
}

template <class T>
Outcome write_one(int fd, const char* name, const std::optional<T>& value) {
  if (!value) return Done{};
  const Le<T> stored(*value);
  return set_xattr(fd, std::string(kPrefix) + name, bytes_of(stored), 0);
}

}  // namespace

Result<Claims> read(int fd) {
  Claims claims;
  for (const Outcome& outcome :
       {read_one(fd, "uid", claims.uid), read_one(fd, "gid", claims.gid),
        read_one(fd, "mode", claims.mode), read_one(fd, "rdev", claims.rdev)})
    if (!outcome) return outcome.failure();
  return claims;
}

Outcome write(int fd, const Claims& claims) {
  for (const Outcome& outcome :
       {write_one(fd, "uid", claims.uid), write_one(fd, "gid", claims.gid),
        write_one(fd, "mode", claims.mode), write_one(fd, "rdev", claims.rdev)})
    if (!outcome) return outcome;
  return Done{};
}

}  // namespace vireo::p9::claims_xattr
