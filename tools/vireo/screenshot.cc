#include "tools/vireo/screenshot.h"

#include <memory>
#include <string>

#include "devices/display/screenshot.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/password_file.h"
#include "tools/vireo/png_file.h"

namespace vireo::cli {

namespace {

struct Options {
  std::string address{}, file{}, password_file{};
};

void take(const Options& options) {
  const std::string password =
      options.password_file.empty() ? "" : read_password("--password-file", options.password_file);
  EventLoop loop;
  const display::Screenshot shot = block_on(
      loop, display::take_screenshot(loop, display::connect_to_screen(options.address), password));
  write_png(shot, options.file);
}

}  // namespace

void add_screenshot(CLI::App& app, int& status) {
  auto* const command = app.add_subcommand("screenshot", "Save what is on a VM's screen as PNG");
  command->footer(
      "The VM was started with --display vnc=ADDRESS; any other VNC server will do as well,\n"
      "unless it insists on TLS.\n"
      "  vireo screenshot unix:vnc.sock screen.png");
  auto options = std::make_shared<Options>();
  command->add_option("ADDRESS", options->address, "HOST:PORT, [IPV6]:PORT or unix:PATH")
      ->required();
  command->add_option("FILE", options->file, "the PNG file to write")->required();
  command->add_option("--password-file", options->password_file, "its first line is the password");
  command->callback([options, &status] {
    take(*options);
    status = kOk;
  });
}

}  // namespace vireo::cli
