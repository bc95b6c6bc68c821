#include "tools/vireo/screenshot.h"

#include <memory>
#include <string>

#include "devices/display/client/screenshot.h"
#include "devices/display/rfb/password_file.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/png_file.h"

namespace vireo::cli {

namespace {

struct Arguments {
  std::string address{}, file{}, password_file{};
};

void take(const Arguments& arguments) {
  const std::string password =
      arguments.password_file.empty()
          ? ""
          : display::read_password("--password-file", arguments.password_file);
  EventLoop loop;
  const display::Screenshot shot = block_on(
      loop,
      display::take_screenshot(loop, display::connect_to_screen(arguments.address), password));
  write_png(shot, arguments.file);
}

}  // namespace

void add_screenshot(Options& program) {
  Options command = program.command("screenshot", "Save what is on a VM's screen as PNG");
  command.footer(
      "The VM was started with --display vnc=ADDRESS; any other VNC server will do as well,\n"
      "unless it insists on TLS.\n"
      "  vireo screenshot unix:vnc.sock screen.png");
  auto arguments = std::make_shared<Arguments>();
  command.operand("ADDRESS", arguments->address, "HOST:PORT, [IPV6]:PORT or unix:PATH").require();
  command.operand("FILE", arguments->file, "the PNG file to write").require();
  command.option("--password-file", "FILE", arguments->password_file,
                 "its first line is the password");
  command.action([arguments] {
    take(*arguments);
    return kOk;
  });
}

}  // namespace vireo::cli
