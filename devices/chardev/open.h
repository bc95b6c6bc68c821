// Makes the host's side of a byte stream from what the user wrote.
//
// Thread: the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "devices/chardev/backend.h"
#include "devices/chardev/escape.h"
#include "vmm/base/log.h"

namespace vireo::dev {

// What the user wrote.
struct CharSpec {
  enum class Kind : uint8_t { null, stdio, file, unix_socket, pty };
  Kind kind = Kind::null;
  std::string path{};  // file, unix_socket
};

// "null", "stdio", "pty", "file:PATH", "unix:PATH"; throws ConfigError.
CharSpec parse_char_spec(std::string_view text);
// As parse_char_spec() reads it.
std::string to_string(const CharSpec& spec);

struct CharOptions {
  Logger log{};
  OutputLost output_lost{};  // stdio, file
  // Gets the name of the pseudo-terminal ("/dev/pts/3"), on the constructing thread.
  std::function<void(const std::string& path)> pty_made{};
  // stdio, when that is a terminal: Ctrl-A is the escape prefix (devices/chardev/escape.h), also
  // while the guest takes no input. Gets the commands, all but send_break, on the loop.
  std::function<void(EscapeCommand)> escape{};
};

// Throws ConfigError and std::system_error.
std::unique_ptr<CharBackend> make_char_backend(const CharSpec& spec, const CharOptions& options);

}  // namespace vireo::dev
