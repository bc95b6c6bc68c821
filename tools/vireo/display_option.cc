#include "tools/vireo/display_option.h"

#include <fmt/format.h>

#include "devices/legacy/framebuffer.h"
#include "tools/vireo/parse.h"
#include "tools/vireo/password_file.h"
#include "vmm/base/error.h"

namespace vireo::cli {

const char* const kDisplayHelp =
    R"(What --display SPEC is made of; several are one:
  vnc=ADDRESS:PORT, vnc=unix:PATH
                     where VNC viewers connect; VNC's display :N is port 5900+N
  web=ADDRESS:PORT   the screen as a page for browsers (Debian's package novnc)
  mode=WxH           the screen's size (1024x768)
  keyboard=LAYOUT    en-us, de, fr, ja, …: the guest's layout, for viewers that send characters and
                     not keys (en-us)
  password-file=FILE the password, up to 8 characters; without one only 127.0.0.1 and sockets listen
  open=on            listens anywhere without a password
  tls-cert=FILE, tls-key=FILE
                     PEM files: viewers and browsers must use TLS
  share=allow-exclusive|force-shared|ignore
                     who asks for the screen alone gets it, is refused, or shares it all the same
The guest has a PS/2 keyboard and mouse and a virtio keyboard and tablet, and the kernel is told to
use the screen as a console (console=tty0).
)";

namespace {

using Sharing = display::RfbConfig::Sharing;

display::Size parse_mode(const std::string& text) {
  constexpr display::Size kLeast = dev::Framebuffer::kLeastMode,
                          kMost = dev::Framebuffer::kMostMode;
  const size_t cross = text.find('x');
  if (cross == text.npos)
    throw ConfigError(
        fmt::format("--display: mode={}: it is WIDTHxHEIGHT, such as 1024x768", text));
  const auto number = [&](const std::string& part, uint16_t least, uint16_t most) {
    return static_cast<uint16_t>(
        parse_number(fmt::format("--display: mode={}", text), part, least, most));
  };
  return {number(text.substr(0, cross), kLeast.width, kMost.width),
          number(text.substr(cross + 1), kLeast.height, kMost.height)};
}

Sharing parse_sharing(const KeyValues& keys) {
  const std::string word = keys.choice("share", {"allow-exclusive", "force-shared", "ignore"});
  if (word == "force-shared") return Sharing::force_shared;
  return word == "ignore" ? Sharing::ignore : Sharing::allow_exclusive;
}

std::string joined(const std::vector<std::string>& texts) {
  return fmt::format("{}", fmt::join(texts, ","));
}

}  // namespace

std::optional<DisplayOption> parse_display(const std::vector<std::string>& texts) {
  if (texts.empty() || texts == std::vector<std::string>{"none"}) return std::nullopt;
  const KeyValues keys(
      "--display", joined(texts), "",
      {"vnc", "web", "mode", "keyboard", "password-file", "open", "tls-cert", "tls-key", "share"});
  DisplayOption option;
  option.mode = dev::Framebuffer::kDefaultMode;
  if (const auto mode = keys.find("mode")) option.mode = parse_mode(*mode);
  display::RfbConfig& server = option.server;
  server.vnc = keys.get("vnc", "");
  server.web = keys.get("web", "");
  if (server.vnc.empty() && server.web.empty())
    throw ConfigError("--display: say where viewers connect: vnc=ADDRESS:PORT or web=ADDRESS:PORT");
  server.keyboard = keys.get("keyboard", server.keyboard);
  if (const auto file = keys.find("password-file"))
    server.password = read_password("--display: password-file", *file);
  server.open_to_all = keys.flag("open", false);
  server.certificate = keys.get("tls-cert", "");
  server.key = keys.get("tls-key", "");
  server.sharing = parse_sharing(keys);
  return option;
}

}  // namespace vireo::cli
