#include "vmm/boot/modules.h"

#include <array>
#include <string>

#include <catch2/catch.hpp>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/boot/testing/kernels.h"

namespace vireo {
namespace {

using Catch::Contains;
namespace fs = std::filesystem;

struct Fixture {
  void write(const fs::path& path, std::string_view text) const {
    fs::create_directories((dir.path() / path).parent_path());
    dir.write(path.string(), bytes_of_text(text));
  }
  // A module that says what it needs, as an ELF file's .modinfo does.
  void write_module(const fs::path& path, const std::string& needs) const {
    write(path,
          "\x7f"
          "ELF license=GPL" +
              std::string(1, '\0') + "depends=" + needs + std::string(1, '\0') +
              "name=" + path.stem().string() + '\0');
  }
  void install(const std::string& release) const {
    const fs::path modules = "lib/modules/" + release;
    write(modules / "modules.dep",
          "kernel/a-one.ko: kernel/b.ko kernel/c.ko\nkernel/b.ko: kernel/c.ko\nkernel/c.ko:\n"
          "kernel/loop.ko: kernel/loop2.ko\nkernel/loop2.ko: kernel/loop.ko\n");
    write(modules / "modules.builtin", "kernel/core/virtio-ring.ko\n");
    write_module(modules / "kernel/a-one.ko", "b,c,virtio_ring");
    write_module(modules / "kernel/b.ko", "c");
    write_module(modules / "kernel/c.ko", "");
    write_module(modules / "kernel/loop.ko", "loop2");
    write_module(modules / "kernel/loop2.ko", "loop");
  }
  std::vector<std::string> names(const KernelModules& modules,
                                 std::vector<std::string_view> wanted) const {
    std::vector<std::string> loaded;
    for (const Pages& pages : load_modules(modules, wanted)) {
      const std::string text(reinterpret_cast<const char*>(pages.bytes().data()),
                             pages.bytes().size());
      loaded.push_back(text.substr(text.find("name=") + 5));
      loaded.back().pop_back();
    }
    return loaded;
  }

  testing::TempDir dir;
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("modules come after what they need, each once, and without what is built in") {
  Fixture f;
  f.install("1.2-x");
  f.write("vmlinuz", "k");
  const KernelModules modules = find_modules(f.dir.path() / "vmlinuz", "1.2-x");
  CHECK(f.names(modules, {"a_one", "b"}) == Names{"c", "b", "a-one"});
  CHECK(f.names(modules, {"virtio_ring"}).empty());
  CHECK(f.names(modules, {"loop"}) == Names{"loop2", "loop"});
  CHECK(has_module(modules, "a-one"));
  CHECK(has_module(modules, "virtio_ring"));
  CHECK_FALSE(has_module(modules, "d"));
  CHECK_THROWS_WITH(f.names(modules, {"d"}), Contains("no module 'd'"));
}

TEST_CASE("modules of a build tree are taken from there") {
  Fixture f;
  f.install("1.2-x");
  f.write("tree/arch/x86/boot/bzImage", "k");
  f.write("tree/modules.order", "fs/first.o\nfs/second.ko\n");
  f.write_module("tree/fs/first.ko", "second");
  f.write_module("tree/fs/second.ko", "");
  const KernelModules modules = find_modules(f.dir.path() / "tree/arch/x86/boot/bzImage", "1.2-x");
  CHECK(f.names(modules, {"first"}) == Names{"second", "first"});
}

TEST_CASE("a kernel without modules has all that it needs, as far as is known") {
  Fixture f;
  f.write("vmlinuz", "k");
  for (const char* release : {"", "no-such-release"}) {
    const KernelModules modules = find_modules(f.dir.path() / "vmlinuz", release);
    CHECK(modules.directory.empty());
    CHECK(has_module(modules, "overlay"));
    CHECK(f.names(modules, {"overlay"}).empty());
  }
}

TEST_CASE("a module that is listed and missing says so") {
  Fixture f;
  f.install("1");
  f.write("vmlinuz", "k");
  fs::remove(f.dir.path() / "lib/modules/1/kernel/c.ko");
  const KernelModules modules = find_modules(f.dir.path() / "vmlinuz", "1");
  CHECK_THROWS_WITH(f.names(modules, {"b"}), Contains("c.ko"));
}

}  // namespace vireo
