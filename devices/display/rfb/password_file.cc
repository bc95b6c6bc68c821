#include "devices/display/rfb/password_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"

namespace vireo::display {

std::string read_password(const std::string& option, const std::string& path) {
  const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file) throw_errno(fmt::format("{}={}: cannot open it", option, path));
  std::array<char, 1024> start{};
  const ssize_t size = ::read(file.get(), start.data(), start.size());
  if (size < 0) throw_errno(fmt::format("{}={}: cannot read it", option, path));
  const std::string text(start.data(), static_cast<size_t>(size));
  const std::string line = text.substr(0, text.find_first_of("\r\n"));
  if (line.empty())
    throw ConfigError(fmt::format("{}={}: its first line, the password, is empty", option, path));
  return line;
}

}  // namespace vireo::display
