// Who a command runs as, by the files of the guest's root (passwd(5), group(5)).
//
// One thread. No C++ library, and none of its host's ways to look up names.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string_view>

namespace vireo::agent {

struct User {
  static constexpr size_t kMaxGroups = 64;
  static constexpr size_t kMaxText = 256;

  uid_t id = 0;
  gid_t group = 0;
  gid_t groups[kMaxGroups]{};  // beside it
  size_t group_count = 0;
  char name[kMaxText]{};  // empty: passwd has no such user
  char home[kMaxText]{};
};

// "name", "uid", either with ":group" or ":gid"; a number that passwd does not have stands for
// itself, and for a group of the same number. False: there is no such name.
bool find_user(std::string_view text, User& user) noexcept;
// The one that this process runs as.
bool find_own_user(User& user) noexcept;

}  // namespace vireo::agent
