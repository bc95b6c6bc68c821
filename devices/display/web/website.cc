#include "devices/display/web/website.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include <fmt/core.h>

#include "devices/display/web/page.h"
#include "vmm/base/error.h"

namespace vireo::display {

namespace {

constexpr std::string_view kNovnc = "/novnc/";
constexpr const char* kMain = "core/rfb.js";
constexpr off_t kMostBytes = 4 << 20;

struct Type {
  std::string_view suffix, type;
};
constexpr std::array kTypes = std::to_array<Type>({{".js", "text/javascript; charset=utf-8"},
                                                   {".css", "text/css; charset=utf-8"},
                                                   {".html", "text/html; charset=utf-8"},
                                                   {".json", "application/json"},
                                                   {".svg", "image/svg+xml"},
                                                   {".png", "image/png"}});

std::string_view type_of(std::string_view path) noexcept {
  for (const Type& type : kTypes)
    if (path.ends_with(type.suffix)) return type.type;
  return "application/octet-stream";
}

UniqueFd open_beneath(const UniqueFd& folder, const std::string& name) {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return UniqueFd(
      static_cast<int>(::syscall(SYS_openat2, folder.get(), name.c_str(), &how, sizeof(how))));
}

std::optional<std::string> content_of(const UniqueFd& file) {
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) ||
      status.st_size > kMostBytes)
    return std::nullopt;
  std::string content(static_cast<size_t>(status.st_size), '\0');
  if (pread_all(file.get(), std::as_writable_bytes(std::span(content)), 0)) return std::nullopt;
  return content;
}

}  // namespace

Website::Website(const std::string& novnc)
    : novnc_(::open(novnc.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
  if (!novnc_ || !content_of(open_beneath(novnc_, kMain)))
    throw ConfigError(fmt::format(
        "the web page needs noVNC, and there is none in '{}': install the package novnc", novnc));
}

std::optional<WebFile> Website::find(std::string_view path) const {
  if (const auto page = page_file(path))
    return WebFile{type_of(page->name), std::string(page->content)};
  if (!path.starts_with(kNovnc)) return std::nullopt;
  path.remove_prefix(kNovnc.size());
  auto content = content_of(open_beneath(novnc_, std::string(path)));
  if (!content) return std::nullopt;
  return WebFile{type_of(path), std::move(*content)};
}

}  // namespace vireo::display
