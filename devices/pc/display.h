// A screen with its keyboard and pointer, and the viewers that it is shown to, as `vireo run
// --display` and descriptions in JSON tell it. Plain values; any thread. What needs the network,
// the host's keyboard layouts, the password or TLS is looked at when the server is made.
#pragma once

#include <string>
#include <string_view>

#include "devices/display/rfb_server.h"
#include "devices/display/screen.h"
#include "devices/legacy/framebuffer.h"
#include "devices/pc/keys.h"

namespace vireo::pc {

struct DisplaySpec {
  display::Size mode = dev::Framebuffer::kDefaultMode;
  display::RfbConfig server{};
  std::string password_file{};  // empty: no password is asked for, or server.password
};

Keys keys_of(DisplaySpec& display);
// What no key by itself can tell. Throws ConfigError that begins with `of`.
void check(std::string_view of, const DisplaySpec& display);

}  // namespace vireo::pc
