#include "tools/vireo/screenshot.h"

#include <png.h>

#include <memory>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "devices/display/screenshot.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/password_file.h"
#include "vmm/base/error.h"
#include "vmm/base/shared_library.h"

namespace vireo::cli {

namespace {

struct Options {
  std::string address{}, file{}, password_file{};
};

void write_png(const display::Screenshot& shot, const std::string& path) {
  std::vector<png_byte> rgb;
  rgb.reserve(shot.pixels.size() * 3);
  for (const uint32_t pixel : shot.pixels)
    for (const int shift : {16, 8, 0}) rgb.push_back(static_cast<png_byte>(pixel >> shift));
  const SharedLibrary library("libpng16.so.16", "libpng16-16", "PNG files need");
  decltype(&::png_image_write_to_file) write_to_file = nullptr;
  library.find("png_image_write_to_file", write_to_file);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = shot.size.width;
  image.height = shot.size.height;
  image.format = PNG_FORMAT_RGB;
  if (write_to_file(&image, path.c_str(), 0, rgb.data(), 0, nullptr) == 0)
    throw ConfigError(fmt::format("cannot write '{}': {}", path, image.message));
}

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
