#include "devices/chardev/open.h"

#include <catch2/catch.hpp>

#include "devices/testing/recording_frontend.h"
#include "vmm/base/error.h"
#include "vmm/testing/manual_loop.h"
#include "vmm/testing/temp_file.h"

using namespace vireo;
using namespace vireo::dev;
using namespace vireo::dev::testing;
using Kind = CharSpec::Kind;

TEST_CASE("what users write for a console") {
  REQUIRE(parse_char_spec("null").kind == Kind::null);
  REQUIRE(parse_char_spec("stdio").kind == Kind::stdio);
  REQUIRE(parse_char_spec("pty").kind == Kind::pty);
  REQUIRE(parse_char_spec("file:/a b:c").kind == Kind::file);
  REQUIRE(parse_char_spec("file:/a b:c").path == "/a b:c");
  REQUIRE(parse_char_spec("unix:x.sock").kind == Kind::unix_socket);
  REQUIRE(parse_char_spec("unix:x.sock").path == "x.sock");
}

TEST_CASE("what is no console says what would be one") {
  REQUIRE_THROWS_WITH(parse_char_spec("tcp:1"),
                      "'tcp:1' is no place for a console: use stdio, null, pty, file:PATH or "
                      "unix:PATH");
  REQUIRE_THROWS_WITH(parse_char_spec("file:"), "'file:' names no file: write 'file:PATH'");
  REQUIRE_THROWS_WITH(parse_char_spec("unix:"), "'unix:' names no file: write 'unix:PATH'");
  for (const char* text : {"", "null:", "STDIO", "pty:x", "file"})
    REQUIRE_THROWS_AS(parse_char_spec(text), ConfigError);
}

TEST_CASE("a null console takes everything and says nothing") {
  vireo::testing::ManualLoop turns;
  RecordingFrontend device;
  const auto backend = make_char_backend({Kind::null}, {});
  backend->open(turns.loop(), device);
  backend->set_readable(true);
  REQUIRE(write(*backend, "gone") == 4);
  turns.settle();
  REQUIRE(device.received.empty());
  backend->close();
}

TEST_CASE("every kind of console can be made") {
  const vireo::testing::TempDir dir;
  REQUIRE(make_char_backend({Kind::file, dir.file("log")}, {}) != nullptr);
  REQUIRE(make_char_backend({Kind::unix_socket, dir.file("socket")}, {}) != nullptr);
  REQUIRE(make_char_backend({Kind::stdio}, {}) != nullptr);
  std::string name;
  REQUIRE(make_char_backend({Kind::pty}, {.pty_made = [&](const auto& path) { name = path; }}));
  REQUIRE(name.starts_with("/dev/pts/"));
}
