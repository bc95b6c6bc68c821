#include "tools/vireo/exec/kernel.h"

#include <unistd.h>

#include <cstring>
#include <functional>
#include <string>
#include <system_error>

#include <fmt/format.h>

#include "vmm/base/error.h"
#include "vmm/boot/kernel_cache.h"

namespace vireo::cli {

namespace fs = std::filesystem;

namespace {

// The newest of what `kernel` makes of the directory's entries that begin so; empty: there is none.
fs::path newest(const fs::path& directory, std::string_view prefix,
                const std::function<fs::path(const fs::path&)>& kernel) {
  fs::path best;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, ignored)) {
    if (!entry.path().filename().string().starts_with(prefix)) continue;
    const fs::path found = kernel(entry.path());
    const bool readable = ::access(found.c_str(), R_OK) == 0;
    if (readable && ::strverscmp(found.c_str(), best.c_str()) > 0) best = found;
  }
  return best;
}

}  // namespace

fs::path find_kernel() {
  const fs::path cache = default_kernel_cache();
  return find_kernel("/boot", cache.empty() ? cache : cache / "kernels");
}

fs::path find_kernel(const fs::path& boot, const fs::path& fetched) {
  const auto itself = [](const fs::path& path) { return path; };
  if (const fs::path kernel = newest(boot, "vmlinuz-", itself); !kernel.empty()) return kernel;
  const auto inside = [](const fs::path& path) { return path / "vmlinuz"; };
  if (const fs::path kernel = newest(fetched, "full-", inside); !kernel.empty()) return kernel;
  throw ConfigError(
      fmt::format("there is no kernel that can be read in '{}' or '{}': name one with --kernel, or "
                  "fetch one with tools/fetch-kernel full",
                  boot.string(), fetched.string()));
}

}  // namespace vireo::cli
