// Claims in extended attributes: user.virtfs.{uid,gid,mode} as 32 bits, user.virtfs.rdev as 64,
// little-endian, as QEMU keeps them. Any thread; blocks.
#pragma once

#include "devices/p9/ownership.h"

namespace vireo::p9::claims_xattr {

inline constexpr std::string_view kPrefix = "user.virtfs.";

Result<Claims> read(int fd);
Outcome write(int fd, const Claims& claims);

}  // namespace vireo::p9::claims_xattr
