#include "agent/guest/user.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "agent/guest/file.h"

namespace vireo::agent {

namespace {

constexpr size_t kFields = 7;  // of passwd; group has four

std::optional<uint32_t> number_of(std::string_view text) noexcept {
  uint64_t number = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') return std::nullopt;
    number = 10 * number + static_cast<uint64_t>(digit - '0');
    if (number >= UINT32_MAX) return std::nullopt;  // -1 means "as it is"
  }
  if (text.empty()) return std::nullopt;
  return static_cast<uint32_t>(number);
}

void copy_text(std::string_view from, char (&to)[User::kMaxText]) noexcept {
  const size_t length = std::min(from.size(), User::kMaxText - 1);
  std::copy_n(from.begin(), length, to);
  to[length] = '\0';
}

// Calls `entry` with the fields of each line until it gives true.
template <class Entry>
bool find_line(const char* path, Entry entry) noexcept {
  const FileText file(path);
  std::string_view rest = file.view();
  while (!rest.empty()) {
    std::string_view line = take_until(rest, '\n');
    std::string_view fields[kFields];
    for (std::string_view& field : fields) field = take_until(line, ':');
    if (entry(fields)) return true;
  }
  return false;
}

bool is_called(const std::string_view (&fields)[kFields], std::string_view wanted) noexcept {
  return fields[0] == wanted || (!wanted.empty() && fields[2] == wanted);
}

bool find_in_passwd(std::string_view wanted, User& user) noexcept {
  return find_line("/etc/passwd", [&](const std::string_view(&fields)[kFields]) {
    const auto id = number_of(fields[2]), group = number_of(fields[3]);
    if (!is_called(fields, wanted) || !id || !group) return false;
    user.id = *id;
    user.group = *group;
    copy_text(fields[0], user.name);
    copy_text(fields[5], user.home);
    return true;
  });
}

bool find_group(std::string_view wanted, gid_t& group) noexcept {
  if (const auto number = number_of(wanted)) return group = *number, true;
  return find_line("/etc/group", [&](const std::string_view(&fields)[kFields]) {
    const auto id = number_of(fields[2]);
    if (fields[0] != wanted || !id) return false;
    group = *id;
    return true;
  });
}

bool has_member(std::string_view members, std::string_view name) noexcept {
  while (!members.empty())
    if (take_until(members, ',') == name) return true;
  return false;
}

void find_further_groups(User& user) noexcept {
  find_line("/etc/group", [&](const std::string_view(&fields)[kFields]) {
    const auto id = number_of(fields[2]);
    if (id && has_member(fields[3], user.name)) user.groups[user.group_count++] = *id;
    return user.group_count == User::kMaxGroups;
  });
}

}  // namespace

bool find_user(std::string_view text, User& user) noexcept {
  const bool names_group = text.find(':') != std::string_view::npos;
  const std::string_view name = take_until(text, ':');
  if (!find_in_passwd(name, user)) {
    const auto number = number_of(name);
    if (!number) return false;
    user.id = user.group = *number;
  }
  if (names_group) return find_group(text, user.group);
  if (user.name[0] != '\0') find_further_groups(user);
  return true;
}

bool find_own_user(User& user) noexcept {
  char number[16];
  std::snprintf(number, sizeof(number), "%u", ::geteuid());
  return find_user(number, user);
}

}  // namespace vireo::agent
