#include "agent/host/initramfs.h"

#include <algorithm>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/boot/testing/kernels.h"

namespace vireo::agent {
namespace {

using Catch::Contains;
using vireo::testing::Bytes;

struct Fixture {
  Fixture() {
    const std::filesystem::path modules = dir.path() / "lib/modules/1.2-x";
    std::filesystem::create_directories(modules);
    dir.write("lib/modules/1.2-x/modules.dep", bytes_of_text("9p.ko: 9pnet.ko\n9pnet.ko:\n"));
    dir.write("lib/modules/1.2-x/modules.builtin", bytes_of_text("overlay.ko\n"));
    dir.write("lib/modules/1.2-x/9p.ko", bytes_of_text(std::string_view("P\0depends=9pnet\0", 16)));
    dir.write("lib/modules/1.2-x/9pnet.ko", bytes_of_text("NET"));
    Bytes bzimage = vireo::testing::make_bzimage({.payload = vireo::testing::pattern(1000)});
    vireo::testing::poke(bzimage, 0x20e, le16(0x100));
    std::ranges::copy(bytes_of_text("1.2-x built"), bzimage.begin() + 0x300);
    kernel = dir.write("vmlinuz", bzimage);
  }
  std::string make(std::vector<std::string_view> modules) const {
    const Initramfs made = make_initramfs(kernel, modules, bytes_of_text("AGENT"));
    CHECK(made.has_modules);
    return {reinterpret_cast<const char*>(made.archive.data()), made.archive.size()};
  }

  vireo::testing::TempDir dir;
  std::filesystem::path kernel;
};

}  // namespace

TEST_CASE("an initramfs has the agent and its kernel's modules, in the order to load them") {
  const std::string archive = Fixture().make({"9p", "overlay"});
  const size_t agent = archive.find("AGENT"), first = archive.find("modules/000.ko");
  const size_t second = archive.find("modules/001.ko");
  CHECK(archive.find("init") < agent);
  CHECK(agent < first);
  REQUIRE(second != std::string::npos);
  CHECK(archive.substr(first, second - first).find("NET") != std::string::npos);
  CHECK(archive.find("modules/002.ko") == std::string::npos);
}

TEST_CASE("a kernel without modules gets the agent alone, and it is said") {
  Fixture f;
  std::filesystem::remove_all(f.dir.path() / "lib");
  const std::vector<std::string_view> modules{"overlay"};
  const Initramfs made = make_initramfs(f.kernel, modules, bytes_of_text("AGENT"));
  CHECK_FALSE(made.has_modules);
  CHECK_FALSE(made.archive.empty());
}

TEST_CASE("a kernel that lacks a module, or tells no release, is refused with its name") {
  Fixture f;
  CHECK_THROWS_WITH(f.make({"virtio_console"}),
                    Contains("vmlinuz") && Contains("'virtio_console'") && Contains("1.2-x"));
  f.dir.write("vmlinuz", bytes_of_text(std::string(2000, 'x')));
  CHECK_THROWS_WITH(f.make({}), Contains("is no bzImage"));
}

}  // namespace vireo::agent
