// The kernel that a sandbox starts with when none is named. Any thread.
#pragma once

#include <filesystem>
#include <vector>

namespace vireo::cli {

// The newest by its name in the first of the directories that has a readable one: /boot/vmlinuz-*,
// then full-*/vmlinuz of tools/fetch-kernel's cache. Throws ConfigError when there is none.
std::filesystem::path find_kernel();
std::filesystem::path find_kernel(const std::filesystem::path& boot,
                                  const std::filesystem::path& fetched);

}  // namespace vireo::cli
