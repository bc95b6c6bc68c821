#include "devices/chardev.h"

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

CharSpec with_path(CharSpec::Kind kind, std::string_view text, std::string_view path) {
  if (path.empty())
    throw ConfigError(fmt::format("'{}' names no file: write '{}PATH'", text, text));
  return {kind, std::string(path)};
}

}  // namespace

CharSpec parse_char_spec(std::string_view text) {
  using Kind = CharSpec::Kind;
  if (text == "null") return {Kind::null};
  if (text == "stdio") return {Kind::stdio};
  if (text == "pty") return {Kind::pty};
  if (text.starts_with("file:")) return with_path(Kind::file, text, text.substr(5));
  if (text.starts_with("unix:")) return with_path(Kind::unix_socket, text, text.substr(5));
  throw ConfigError(fmt::format(
      "'{}' is no place for a console: use stdio, null, pty, file:PATH or unix:PATH", text));
}

}  // namespace vireo::dev
