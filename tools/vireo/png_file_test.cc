#include "tools/vireo/png_file.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <random>

#include <catch2/catch.hpp>

#include "vmm/testing/temp_file.h"

using namespace vireo;
using namespace vireo::cli;

namespace {

// Of noise, which packs badly.
display::Screenshot picture(uint16_t side) {
  std::mt19937 noise;
  display::Screenshot shot{.size = {side, side}};
  for (uint32_t i = 0; i < uint32_t{side} * side; ++i)
    shot.pixels.push_back(static_cast<uint32_t>(noise()) & 0xffffff);
  return shot;
}

// True when the picture could not be written as no file may be longer than that.
bool fails_beyond(size_t bytes, const std::string& path) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{.rlim_cur = bytes, .rlim_max = bytes};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_png(picture(64), path);
    } catch (const std::exception&) {
      ::_exit(1);
    }
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

}  // namespace

TEST_CASE("a picture is written as PNG, over a longer file, too") {
  const testing::TempDir dir;
  const std::string path = dir.file("screen.png");
  write_png(picture(2), path);
  const std::string small = testing::read_text(path);
  CHECK(small.starts_with("\x89PNG\r\n\x1a\n"));
  CHECK(small.substr(16, 8) == std::string("\0\0\0\2\0\0\0\2", 8));  // IHDR
  CHECK(small.substr(small.size() - 8, 4) == "IEND");
  write_png(picture(64), path);
  CHECK(std::filesystem::file_size(path) > 64 * 64);
  write_png(picture(2), path);
  CHECK(testing::read_text(path) == small);
}

TEST_CASE("a picture that a device does not take leaves the device's name where it is") {
  const testing::TempDir dir;
  const std::string path = dir.file("full");
  std::filesystem::create_symlink("/dev/full", path);
  CHECK_THROWS_WITH(write_png(picture(2), path), Catch::Contains("cannot write '" + path + "'"));
  CHECK(std::filesystem::is_symlink(path));
}

TEST_CASE("part of a picture is removed if nothing was there before") {
  const testing::TempDir dir;
  CHECK(fails_beyond(1000, dir.file("new")));
  CHECK_FALSE(std::filesystem::exists(dir.file("new")));
  const testing::TempFile old(std::string_view("old"));
  CHECK(fails_beyond(1000, old.path()));
  CHECK(std::filesystem::exists(old.path()));
}

TEST_CASE("a picture goes nowhere where no file can be") {
  const testing::TempDir dir;
  CHECK_THROWS_AS(write_png(picture(2), dir.path()), std::system_error);
  CHECK_THROWS_AS(write_png(picture(2), dir.file("none/screen.png")), std::system_error);
}
