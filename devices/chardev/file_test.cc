#include "devices/chardev/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <vector>

#include <catch2/catch.hpp>

#include "devices/testing/recording_frontend.h"
#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/testing/manual_loop.h"
#include "vmm/testing/temp_file.h"

using namespace vireo;
using namespace vireo::dev;
using namespace vireo::dev::testing;
using vireo::testing::ManualLoop;

namespace {

struct Fixture {
  ManualLoop turns;
  RecordingFrontend device;
  std::vector<std::string> warnings;
  vireo::testing::TempDir dir;
  std::string path = dir.file("out");
  Logger log{LogLevel::warn, [this](LogLevel, std::string_view, std::string_view text) {
               warnings.emplace_back(text);
             }};
};

}  // namespace

TEST_CASE("a file gets the output, and what it had before is gone") {
  Fixture f;
  {
    const auto fd = UniqueFd(::open(f.path.c_str(), O_WRONLY | O_CREAT, 0600));
    REQUIRE_FALSE(write_all(fd.get(), bytes_of_text("an older and longer log")));
  }
  FileBackend file(f.path, f.log);
  file.open(f.turns.loop(), f.device);
  REQUIRE(write(file, "hello, ") == 7);
  file.close();
  file.open(f.turns.loop(), f.device);
  REQUIRE(write(file, "world") == 5);
  file.close();
  REQUIRE(vireo::testing::read_text(f.path) == "hello, world");
}

TEST_CASE("a file that was emptied meanwhile gets new output at its beginning") {
  Fixture f;
  FileBackend file(f.path, f.log);
  file.open(f.turns.loop(), f.device);
  write(file, "before");
  REQUIRE(::truncate(f.path.c_str(), 0) == 0);
  write(file, "after");
  file.close();
  REQUIRE(vireo::testing::read_text(f.path) == "after");
}

TEST_CASE("a file that was moved away is made anew by reopen(), one that was not goes on") {
  Fixture f;
  FileBackend file(f.path, f.log);
  file.open(f.turns.loop(), f.device);
  write(file, "first");
  file.reopen();
  write(file, " second");
  const std::string moved = f.dir.file("moved");
  REQUIRE(::rename(f.path.c_str(), moved.c_str()) == 0);
  write(file, " third");
  file.reopen();
  write(file, "fourth");
  file.close();
  REQUIRE(vireo::testing::read_text(moved) == "first second third");
  REQUIRE(vireo::testing::read_text(f.path) == "fourth");
}

TEST_CASE("a file that cannot be opened again is kept, with a warning") {
  Fixture f;
  const std::string folder = f.dir.file("folder");
  const std::string path = folder + "/out";
  REQUIRE(::mkdir(folder.c_str(), 0700) == 0);
  FileBackend file(path, f.log);
  file.open(f.turns.loop(), f.device);
  const std::string moved = f.dir.file("moved");
  REQUIRE(::rename(folder.c_str(), moved.c_str()) == 0);
  file.reopen();
  REQUIRE(f.warnings.size() == 1);
  write(file, "still here");
  file.close();
  REQUIRE(vireo::testing::read_text(moved + "/out") == "still here");
}

TEST_CASE("a file that cannot be is refused with its name") {
  Fixture f;
  REQUIRE_THROWS_AS(FileBackend(f.dir.file("no/such"), f.log), std::system_error);
  REQUIRE_THROWS_WITH(FileBackend(f.dir.path(), f.log),
                      Catch::Contains("cannot write console output to '" + f.dir.path() + "'"));
}

TEST_CASE("a full disk is told once and does not stop the guest") {
  Fixture f;
  FileBackend file("/dev/full", f.log);
  file.open(f.turns.loop(), f.device);
  REQUIRE(write(file, "one") == 3);
  REQUIRE(write(file, "two") == 3);
  REQUIRE(f.warnings.size() == 1);
  REQUIRE_THAT(f.warnings[0], Catch::Contains("'/dev/full': No space left"));
  file.close();
}

TEST_CASE("a FIFO") {
  Fixture f;
  REQUIRE(::mkfifo(f.path.c_str(), 0600) == 0);

  SECTION("that nobody reads is refused") {
    REQUIRE_THROWS_WITH(FileBackend(f.path, f.log), Catch::Contains("start its reader first"));
  }
  SECTION("with a reader is written at the reader's pace") {
    UniqueFd reader{::open(f.path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    FileBackend file(f.path, f.log);
    file.open(f.turns.loop(), f.device);
    const size_t taken = fill(file);
    f.turns.settle();
    REQUIRE(f.device.writable_calls == 0);
    std::vector<std::byte> got(taken);
    REQUIRE_FALSE(read_all(reader.get(), got));
    f.turns.settle();
    REQUIRE(f.device.writable_calls == 1);

    fill(file);
    reader.reset();
    f.turns.settle();
    REQUIRE(f.device.writable_calls == 2);  // to find out that nobody is left
    REQUIRE(write(file, "lost") == 4);
    REQUIRE(f.warnings.size() == 1);
    file.close();
  }
}
