#include "vmm/snapshot.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo {
namespace {

namespace fs = std::filesystem;

class Scratch {
 public:
  Scratch() {
    std::string pattern = (fs::temp_directory_path() / "vireo-snapshot-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
  }
  ~Scratch() { fs::remove_all(root_); }
  std::string path(const std::string& name) const { return (root_ / name).string(); }

 private:
  fs::path root_;
};

StateSections sections() {
  return {{"com1", {"uart16550", 1, {std::byte{1}, std::byte{2}}}}, {"vm", {"x86-vm", 2, {}}}};
}

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void replace(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

TEST_CASE("a snapshot gives back shape, sections and memory, and stays sparse") {
  const Scratch scratch;
  const GuestMemory memory({.size = 64 * MiB});
  REQUIRE(memory.write<uint64_t>(0x5008, 0x1122334455667788));
  REQUIRE(memory.write<uint64_t>(64 * MiB - 8, 42));
  Snapshot::save(scratch.path("s"), {64 * MiB, 2}, sections(), memory);

  auto snapshot = Snapshot::open(scratch.path("s"));
  CHECK(snapshot.shape() == SnapshotShape{64 * MiB, 2});
  const auto read = snapshot.take_sections();
  REQUIRE(read.size() == 2);
  CHECK(read.at("com1").kind == "uart16550");
  CHECK(read.at("com1").bytes == std::vector{std::byte{1}, std::byte{2}});
  CHECK(read.at("vm").version == 2);

  const GuestMemory again({.size = 64 * MiB});
  snapshot.load_memory(again);
  CHECK(again.read<uint64_t>(0x5008) == 0x1122334455667788U);
  CHECK(again.read<uint64_t>(64 * MiB - 8) == 42U);
  CHECK(again.read<uint64_t>(0x6000) == 0U);

  struct stat info {};
  REQUIRE(::stat(scratch.path("s/memory").c_str(), &info) == 0);
  CHECK(info.st_size == 64 * MiB);
  CHECK(info.st_blocks * 512 < static_cast<off_t>(1 * MiB));
}

TEST_CASE("an existing directory is never written into") {
  const Scratch scratch;
  const GuestMemory memory({.size = 1 * MiB});
  fs::create_directory(scratch.path("s"));
  CHECK_THROWS_AS(Snapshot::save(scratch.path("s"), {1 * MiB, 1}, {}, memory), std::system_error);
  CHECK(fs::is_empty(scratch.path("s")));
}

TEST_CASE("what is damaged or missing is refused with the file's name") {
  const Scratch scratch;
  const GuestMemory memory({.size = 1 * MiB});
  const std::string dir = scratch.path("s");
  Snapshot::save(dir, {1 * MiB, 1}, sections(), memory);
  const std::string state = contents(dir + "/state");
  const std::string manifest = contents(dir + "/manifest");

  SECTION("missing") {
    CHECK_THROWS_WITH(Snapshot::open(scratch.path("none")), Catch::Contains("none/manifest"));
  }
  SECTION("every flipped bit of the state") {
    for (size_t i = 0; i < state.size(); ++i) {
      std::string bad = state;
      bad[i] = static_cast<char>(bad[i] ^ 0x10);
      replace(dir + "/state", bad);
      CHECK_THROWS_WITH(Snapshot::open(dir), Catch::Contains("/state"));
    }
  }
  SECTION("a truncated state") {
    replace(dir + "/state", state.substr(0, state.size() - 1));
    CHECK_THROWS_AS(Snapshot::open(dir), ConfigError);
  }
  SECTION("another version, an empty manifest, a garbled line") {
    for (const std::string& text : {std::string(), std::string("vireo snapshot 2 x86-64\n"),
                                    manifest + "memory\n", manifest + "x 12z\n", manifest + "\n"}) {
      INFO(text);
      replace(dir + "/manifest", text);
      CHECK_THROWS_AS(Snapshot::open(dir), ConfigError);
    }
  }
  SECTION("memory of another size") {
    const auto snapshot = Snapshot::open(dir);
    const GuestMemory larger({.size = 2 * MiB});
    CHECK_THROWS_WITH(snapshot.load_memory(larger), Catch::Contains("/memory"));
  }
}

}  // namespace
}  // namespace vireo
