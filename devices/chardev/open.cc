#include "devices/chardev/open.h"

#include <unistd.h>

#include <fmt/core.h>

#include "devices/chardev/file.h"
#include "devices/chardev/pty.h"
#include "devices/chardev/stdio.h"
#include "devices/chardev/unix_socket.h"
#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

CharSpec with_path(CharSpec::Kind kind, std::string_view text, std::string_view path) {
  if (path.empty())
    throw ConfigError(fmt::format("'{}' names no file: write '{}PATH'", text, text));
  return {kind, std::string(path)};
}

// No input, and output vanishes.
class NullBackend final : public CharBackend {
 public:
  void open(EventLoop&, CharFrontend&) override {}
  void close() override {}
  size_t write(std::span<const std::byte> bytes) override { return bytes.size(); }
  void set_readable(bool) override {}
};

std::unique_ptr<CharBackend> make_pty(const CharOptions& options) {
  auto pty = std::make_unique<PtyBackend>();
  if (options.pty_made) options.pty_made(pty->path());
  return pty;
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

std::string to_string(const CharSpec& spec) {
  switch (spec.kind) {
    case CharSpec::Kind::null:
      return "null";
    case CharSpec::Kind::stdio:
      return "stdio";
    case CharSpec::Kind::pty:
      return "pty";
    case CharSpec::Kind::file:
      return "file:" + spec.path;
    case CharSpec::Kind::unix_socket:
      break;
  }
  return "unix:" + spec.path;
}

std::unique_ptr<CharBackend> make_char_backend(const CharSpec& spec, const CharOptions& options) {
  switch (spec.kind) {
    case CharSpec::Kind::null:
      return std::make_unique<NullBackend>();
    case CharSpec::Kind::stdio:
      return std::make_unique<StdioBackend>(STDIN_FILENO, STDOUT_FILENO, options.escape,
                                            options.log, options.output_lost);
    case CharSpec::Kind::file:
      return std::make_unique<FileBackend>(spec.path, options.log, options.output_lost);
    case CharSpec::Kind::unix_socket:
      return std::make_unique<UnixSocketBackend>(spec.path, options.log);
    case CharSpec::Kind::pty:
      break;
  }
  return make_pty(options);
}

}  // namespace vireo::dev
