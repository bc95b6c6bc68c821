#include "devices/pc/display.h"

#include <fmt/format.h>

#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::pc {

namespace {

display::Size parse_mode(const std::string& text) {
  constexpr display::Size kLeast = dev::Framebuffer::kLeastMode,
                          kMost = dev::Framebuffer::kMostMode;
  const size_t cross = text.find('x');
  if (cross == text.npos) throw ConfigError("it is WIDTHxHEIGHT, such as 1024x768");
  const auto number = [](const std::string& part, uint16_t least, uint16_t most) {
    return static_cast<uint16_t>(parse_number("", part, least, most));
  };
  return {number(text.substr(0, cross), kLeast.width, kMost.width),
          number(text.substr(cross + 1), kLeast.height, kMost.height)};
}

std::string text_of(display::Size mode) {
  return fmt::format("{}x{}", mode.width, mode.height);
}

}  // namespace

Keys keys_of(DisplaySpec& display) {
  using Sharing = display::RfbConfig::Sharing;
  display::RfbConfig& server = display.server;
  return Keys()
      .text({"vnc", "ADDRESS:PORT|unix:PATH",
             "where VNC viewers connect; VNC's display :N is port 5900+N"},
            server.vnc)
      .text({"web", "ADDRESS:PORT", "the screen as a page for browsers (Debian's package novnc)"},
            server.web)
      .word(
          {"mode", "WxH", "the screen's size (1024x768)"},
          [&display](const std::string& text) { display.mode = parse_mode(text); },
          [&display] { return text_of(display.mode); })
      .text({"keyboard", "LAYOUT",
             "en-us, de, fr, ja, …: the guest's layout, for viewers that send characters and not "
             "keys (en-us)"},
            server.keyboard)
      .text({"password-file", "FILE",
             "the password, up to 8 characters; without one only 127.0.0.1 and sockets listen"},
            display.password_file)
      .flag({"open", "on", "listens anywhere without a password"}, server.open_to_all)
      .text({"tls-cert", "FILE", "PEM files: viewers and browsers must use TLS"},
            server.certificate)
      .text({"tls-key", "FILE", ""}, server.key)
      .choice<Sharing>({"share", "allow-exclusive|force-shared|ignore",
                        "whether a viewer that asks for the screen alone gets it, is refused, or "
                        "shares it all the same (allow-exclusive)"},
                       server.sharing,
                       {{"allow-exclusive", Sharing::allow_exclusive},
                        {"force-shared", Sharing::force_shared},
                        {"ignore", Sharing::ignore}});
}

void check(std::string_view of, const DisplaySpec& display) {
  if (display.server.vnc.empty() && display.server.web.empty())
    throw ConfigError(
        fmt::format("{}: say where viewers connect: vnc=ADDRESS:PORT or web=ADDRESS:PORT", of));
}

}  // namespace vireo::pc
