#include "vmm/boot/firmware.h"

#include <array>
#include <string>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/boot/testing/kernels.h"
#include "vmm/memory/layout.h"

using namespace vireo;

namespace {

std::vector<std::byte> image_of(size_t size) {
  std::vector<std::byte> image(size);
  for (size_t i = 0; i < size; ++i) image[i] = std::byte(i / 256 * 7 + i);
  return image;
}

}  // namespace

TEST_CASE("a BIOS is a multiple of 64 KiB, of at most 4 MiB") {
  const vireo::testing::TempDir directory;
  for (const size_t size : {64 * KiB, 192 * KiB, 4 * MiB}) {
    CHECK(read_firmware(directory.write("bios", image_of(size))).image == image_of(size));
  }
  for (const size_t size : {size_t{512}, 64 * KiB + 1, 4 * MiB + 64 * KiB}) {
    CHECK_THROWS_WITH(
        read_firmware(directory.write("bios", image_of(size))),
        Catch::Contains(std::to_string(size) + " bytes") && Catch::Contains("multiple of 64 KiB"));
  }
}

TEST_CASE("the first BIOS that is there is taken, and none is a word on what to do") {
  const vireo::testing::TempDir directory;
  const auto file = directory.write("bios", image_of(1));
  const std::array<std::filesystem::path, 2> files{"/nonexistent/bios.bin", file};
  CHECK(find_firmware(files) == file);
  CHECK_THROWS_WITH(find_firmware(std::span(files).first(1)),
                    Catch::Contains("seabios") && Catch::Contains("--kernel"));
}

TEST_CASE("an option ROM is read when it is there, and not too large") {
  const vireo::testing::TempDir directory;
  CHECK(read_vga_rom("/nonexistent/vga.bin").empty());
  CHECK(read_vga_rom(directory.write("rom", image_of(512))) == image_of(512));
  CHECK_THROWS_WITH(read_vga_rom(directory.write("rom", image_of(129 * KiB))),
                    Catch::Contains("more than an option ROM"));
}

TEST_CASE("a BIOS lies below 1 MiB, where its last 256 KiB fit") {
  GuestMemory memory({.size = 2 * MiB});
  const auto low = [&](uint64_t size) {
    std::vector<std::byte> bytes(size);
    REQUIRE(memory.read(MiB - size, bytes));
    return bytes;
  };
  load_firmware(memory, {image_of(128 * KiB)});
  CHECK(low(128 * KiB) == image_of(128 * KiB));
  load_firmware(memory, {image_of(256 * KiB)});
  CHECK(low(256 * KiB) == image_of(256 * KiB));
  memory.clear();
  const auto large = image_of(512 * KiB);
  load_firmware(memory, {large});
  CHECK(low(256 * KiB) == std::vector(large.begin() + 256 * KiB, large.end()));
  CHECK(all_zero(*memory.range(0, MiB - 256 * KiB)));
}
