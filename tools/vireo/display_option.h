// The language of `vireo run --display`: keys and values, checked and resolved. Errors: ConfigError
// that names the option and says what is expected. What needs the network, the host's keyboard
// layouts or TLS is checked when the server is made.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "devices/display/rfb_server.h"
#include "devices/display/screen.h"

namespace vireo::cli {

struct DisplayOption {
  display::Size mode{};
  display::RfbConfig server{};
};

// All --display together; nothing for `none`, or when there is none. Reads the file with the
// password.
std::optional<DisplayOption> parse_display(const std::vector<std::string>& texts);

// What the keys mean, for --help.
extern const char* const kDisplayHelp;

}  // namespace vireo::cli
