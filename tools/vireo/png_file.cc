#include "tools/vireo/png_file.h"

#include <fcntl.h>
#include <png.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <system_error>
#include <vector>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"
#include "vmm/base/shared_library.h"

namespace vireo::cli {

namespace {

std::vector<png_byte> rgb_of(const display::Screenshot& shot) {
  std::vector<png_byte> rgb;
  rgb.reserve(shot.pixels.size() * 3);
  for (const uint32_t pixel : shot.pixels)
    for (const int shift : {16, 8, 0}) rgb.push_back(static_cast<png_byte>(pixel >> shift));
  return rgb;
}

// In memory: libpng's own writing of files removes what it could not write, a device included. The
// first pass tells the size.
std::vector<std::byte> encode(const display::Screenshot& shot) {
  const SharedLibrary library("libpng16.so.16", "libpng16-16", "PNG files need");
  decltype(&::png_image_write_to_memory) write_to_memory = nullptr;
  library.find("png_image_write_to_memory", write_to_memory);
  const std::vector<png_byte> rgb = rgb_of(shot);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = shot.size.width;
  image.height = shot.size.height;
  image.format = PNG_FORMAT_RGB;
  std::vector<std::byte> png;
  png_alloc_size_t size = 0;
  for (int pass = 0; pass < 2; ++pass) {
    png.resize(size);
    void* const memory = pass == 0 ? nullptr : png.data();
    if (write_to_memory(&image, memory, &size, 0, rgb.data(), 0, nullptr) == 0)
      throw ConfigError(fmt::format("cannot make a PNG file: {}", image.message));
  }
  png.resize(size);
  return png;
}

// What is already there is not emptied yet.
struct Target {
  explicit Target(const std::string& path)
      : fd(::open(path.c_str(), kFlags | O_CREAT | O_EXCL, 0666)), made(fd) {
    if (!made && errno == EEXIST) fd.reset(::open(path.c_str(), kFlags | O_CREAT, 0666));
    if (!fd) throw_errno(fmt::format("cannot write '{}'", path));
    struct stat status {};
    regular = ::fstat(fd.get(), &status) == 0 && S_ISREG(status.st_mode);
  }

  static constexpr int kFlags = O_WRONLY | O_CLOEXEC | O_NOCTTY;
  UniqueFd fd;
  bool made;
  bool regular = false;
};

// Not every file system can set room aside: then writing shows whether there is some.
std::error_code set_room_aside(int fd, size_t size) {
  if (::fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size)) == 0) return {};
  return errno == ENOSPC || errno == EDQUOT ? last_error() : std::error_code();
}

std::error_code write(const Target& target, std::span<const std::byte> png) {
  const int fd = target.fd.get();
  if (!target.regular) return write_all(fd, png);
  if (const std::error_code error = set_room_aside(fd, png.size())) return error;
  if (const std::error_code error = write_all(fd, png)) return error;
  return ::ftruncate(fd, static_cast<off_t>(png.size())) == 0 ? std::error_code() : last_error();
}

}  // namespace

void write_png(const display::Screenshot& shot, const std::string& path) {
  const std::vector<std::byte> png = encode(shot);
  const Target target(path);
  const std::error_code error = write(target, png);
  if (!error) return;
  if (target.made && target.regular) ::unlink(path.c_str());
  throw std::system_error(error, fmt::format("cannot write '{}'", path));
}

}  // namespace vireo::cli
