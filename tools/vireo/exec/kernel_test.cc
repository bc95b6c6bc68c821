#include "tools/vireo/exec/kernel.h"

#include <fstream>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/testing/temp_file.h"

using namespace vireo;
using namespace vireo::cli;

TEST_CASE("the newest kernel of the host is taken, then one that was fetched") {
  const testing::TempDir dir;
  const std::filesystem::path root = dir.path(), boot = root / "boot", fetched = root / "kernels";
  const auto add = [&](const char* path) {
    std::filesystem::create_directories((root / path).parent_path());
    std::ofstream(root / path) << "kernel";
  };
  CHECK_THROWS_WITH(find_kernel(boot, fetched), Catch::Contains("--kernel"));
  for (const char* path : {"kernels/full-6.1/vmlinuz", "kernels/full-6.12/vmlinuz",
                           "kernels/cloud-9/vmlinuz", "boot/initrd.img-9"})
    add(path);
  CHECK(find_kernel(boot, fetched) == fetched / "full-6.12/vmlinuz");
  add("boot/vmlinuz-6.9.0");
  add("boot/vmlinuz-6.10.0");
  CHECK(find_kernel(boot, fetched) == boot / "vmlinuz-6.10.0");
}
