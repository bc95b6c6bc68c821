#include "devices/pc/firmware.h"

#include <algorithm>

#include <catch2/catch.hpp>

#include "devices/testing/fake_env.h"

namespace vireo::pc {

TEST_CASE("a BIOS is told of memory, processors, tables and the serial port") {
  dev::testing::FakeEnv machine;
  const dev::FwCfgItems items =
      firmware_items(machine.platform,
                     {.vcpus = 3,
                      .boot = {.once = "d", .menu = true, .menu_wait = 70},
                      .devices = {{.path = "/disk"}, {.kind = BootDevice::cd, .path = "/cd"}}},
                     true);
  const auto file = [&](std::string_view name) { return items.item(items.key_of(name).value()); };
  ByteReader e820(file("etc/e820"));
  CHECK(e820.get<le64>() == 0);
  CHECK(e820.get<le64>() == 2 * MiB);
  CHECK(e820.get<le32>() == 1);
  CHECK(e820.at_end());
  CHECK(ByteReader(items.item(5)).get<le16>() == 3);
  CHECK(ByteReader(items.item(15)).get<le16>() == 3);
  CHECK(ByteReader(file("etc/sercon-port")).get<le16>() == 0x3f8);
  CHECK(ByteReader(file("etc/boot-fail-wait")).get<le32>() == 0xffffffff);
  CHECK(items.key_of("etc/table-loader"));
  CHECK(std::ranges::equal(file("bootorder"), bytes_of_text("/cd\n/disk")));
  CHECK(ByteReader(items.item(14)).get<le16>() == 1);
  CHECK(ByteReader(file("etc/boot-menu-wait")).get<le32>() == 70);
  CHECK(ByteReader(file("etc/acpi/rsdp")).take(8).size() == 8);
}

TEST_CASE("with a screen a BIOS has a file to tell of its framebuffer, and the ROM that does") {
  dev::testing::FakeEnv machine;
  CHECK_FALSE(firmware_items(machine.platform, {}, true).key_of("etc/ramfb"));
  size_t written = 0;
  const FirmwareInfo info{.set_ramfb =
                              [&written](std::span<const std::byte> file) {
                                written = file.size();
                                return true;
                              },
                          .vga_rom = std::vector<std::byte>(3)};
  const dev::FwCfgItems items = firmware_items(machine.platform, info, true);
  CHECK(items.item(items.key_of("vgaroms/vgabios-ramfb.bin").value()).size() == 3);
  CHECK(items.write(items.key_of("etc/ramfb").value(), std::vector<std::byte>(28)));
  CHECK(written == 28);
}

TEST_CASE("the clock's RAM tells the sizes of memory, and how many processors more there are") {
  const GuestMemory memory({.size = 4 * GiB});
  const auto ram = cmos_of(memory, 4, {.order = "dc"}).ram;
  CHECK(ram[0x15] + 256 * ram[0x16] == 640);
  CHECK(ram[0x17] + 256 * ram[0x18] == 0xffff);
  CHECK(ram[0x34] + 256 * ram[0x35] == (3 * 1024 - 16) * 16);
  CHECK(ram[0x5b] + 256 * ram[0x5c] == 1024 * 16);
  CHECK(ram[0x5f] == 3);
  CHECK(ram[0x3d] == 0x23);
  const GuestMemory small({.size = 4 * MiB});
  const auto few = cmos_of(small, 1, {}).ram;
  CHECK(few[0x30] + 256 * few[0x31] == 3 * 1024);
  CHECK(few[0x34] + few[0x35] + few[0x5f] == 0);
}

}  // namespace vireo::pc
