// A BIOS starts the boot sector of a disk. Skipped, saying so, without the package seabios.
#include <array>
#include <fstream>

#include <catch2/catch.hpp>

#include "devices/display/rfb/testing/client.h"
#include "guest-tests/harness.h"
#include "vireo/vireo.h"

using namespace vireo;
using namespace vireo::guest_tests;

namespace {

// Real mode code, at 0000:7C00.
using Code = std::vector<uint8_t>;

Code out(uint16_t port, uint8_t value) {  // mov $port, %dx; mov $value, %al; out %al, %dx
  return {0xba, static_cast<uint8_t>(port), static_cast<uint8_t>(port >> 8), 0xb0, value, 0xee};
}

Code operator+(Code left, const Code& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

constexpr uint16_t kRound = 0x7dfc, kEmptyIdt = 0x7df0;  // in the boot sector, zeros at first

// Counts the round in the boot sector, by the BIOS's call to write a sector, which outlives a
// reset.
const Code kCountRound{
    0x31, 0xc0,                              // xor %ax, %ax
    0x8e, 0xd8, 0x8e,          0xc0,         // mov %ax, %ds; mov %ax, %es
    0xfe, 0x06, kRound & 0xff, kRound >> 8,  // incb kRound
    0xb8, 0x01, 0x03,                        // mov $0x0301, %ax: write one sector
    0xb9, 0x01, 0x00,                        // mov $1, %cx: the first
    0xba, 0x80, 0x00,                        // mov $0x0080, %dx: of the first disk
    0xbb, 0x00, 0x7c,                        // mov $0x7c00, %bx
    0xcd, 0x13,                              // int $0x13
};

// cmpb $round, kRound; jne beyond the code
Code in_round(uint8_t round, const Code& code) {
  return Code{0x80,
              0x3e,
              kRound & 0xff,
              kRound >> 8,
              round,
              0x75,
              static_cast<uint8_t>(code.size())} +
         code;
}

// In protected mode and by a fault: KVM's emulator looks at no limit of the IDT in real mode, and
// knows no int3 in protected mode.
const Code kTripleFault{
    0x0f,           0x01, 0x1e, kEmptyIdt & 0xff,
    kEmptyIdt >> 8,  // lidt kEmptyIdt
    0x0f,           0x20, 0xc0, 0x0c,
    0x01,                        // mov %cr0, %eax; or $1, %al
    0x0f,           0x22, 0xc0,  // mov %eax, %cr0
    0x0f,           0x0b,        // ud2
};
const Code kHalt{0xf4, 0xeb, 0xfd};

// By the BIOS, which takes what comes at the serial port for keys: xor %ax, %ax; int $0x16
const Code kAwaitKey{0x31, 0xc0, 0xcd, 0x16};
const Code kExitWithAl{0xba, 0xf4, 0x00, 0xee};  // mov $0xf4, %dx; out %al, %dx
// What a BIOS's call leaves in AH is zero when it went well: mov %ah, %al
const Code kExitWithAh = Code{0x88, 0xe0} + kExitWithAl;

std::filesystem::path disk_with(const TemporaryDirectory& directory, Code code,
                                const char* name = "disk.img") {
  constexpr size_t kDisk = 1 << 20;
  code.resize(510);
  code = code + Code{0x55, 0xaa};
  code.resize(kDisk);
  const auto path = directory.path() / name;
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(code.data()), static_cast<std::streamsize>(code.size()));
  return path;
}

int byte_of(const std::filesystem::path& file, std::streamoff offset) {
  return std::ifstream(file, std::ios::binary).seekg(offset).get();
}

bool has_bios() {
  if (std::filesystem::exists(known_firmware().front())) return true;
  WARN("skipped: the package seabios is not installed");
  return false;
}

GuestOptions options_for(const std::filesystem::path& disk) {
  return {.memory = 64 * MiB, .disks = {{.location = disk.string(), .format = "raw"}}};
}

}  // namespace

TEST_CASE("a BIOS starts the boot sector of a disk") {
  if (!has_bios()) return;
  const TemporaryDirectory directory;
  const Code code = out(layout::kPortCom1, '!') + out(layout::kPortDebugExit, 42) + kHalt;
  TestMachine machine(options_for(disk_with(directory, code)));
  machine.start();
  const Outcome outcome = machine.wait();
  INFO(describe(outcome));
  REQUIRE(outcome.end);
  CHECK(outcome.end->reason == End::Reason::debug_exit);
  CHECK(outcome.end->value == 42);
  CHECK_THAT(outcome.text, Catch::Contains("SeaBIOS") && Catch::Contains("!"));
}

TEST_CASE("a snapshot of a machine goes on with its BIOS") {
  if (!has_bios()) return;
  const TemporaryDirectory directory;
  const Code code = out(layout::kPortCom1, '!') + kAwaitKey + kCountRound + kExitWithAh + kHalt;
  GuestOptions options = options_for(disk_with(directory, code));
  {
    TestMachine machine(options);
    machine.start();
    machine.expect("!");
    machine.machine().pause();
    machine.machine().save(directory.path() / "saved");
  }
  options.bios = true;
  TestMachine machine(Snapshot::open(directory.path() / "saved"), options);
  machine.start();
  machine.console().write("x");
  const Outcome outcome = machine.wait();
  INFO(describe(outcome));
  REQUIRE(outcome.end);
  CHECK(outcome.end->reason == End::Reason::debug_exit);
  CHECK(outcome.end->value == 0);
  CHECK(byte_of(directory.path() / "disk.img", kRound - 0x7c00) == 1);
}

namespace {

// The disks say 1 and 2.
Description of_two_disks(const TemporaryDirectory& directory, const std::string& keys_of_1,
                         const std::string& keys_of_2) {
  const auto says = [](uint8_t value) { return out(layout::kPortDebugExit, value) + kHalt; };
  return {.memory = 64 * MiB,
          .disk = {disk_with(directory, says(1), "1.img").string() + keys_of_1,
                   disk_with(directory, says(2), "2.img").string() + keys_of_2},
          .debug_exit = true};
}

uint32_t exit_value(Machine& machine) {
  const std::optional<End> end = machine.wait_for(kPatience);
  REQUIRE(end);
  REQUIRE(end->reason == End::Reason::debug_exit);
  return end->value;
}

}  // namespace

TEST_CASE("a BIOS starts the first disk, or the one with the least bootindex") {
  if (!has_bios()) return;
  const TemporaryDirectory directory;
  const auto start = [&](const std::string& keys_of_1, const std::string& keys_of_2) {
    Machine machine(of_two_disks(directory, keys_of_1, keys_of_2));
    machine.start();
    return exit_value(machine);
  };
  CHECK(start("", "") == 1);
  CHECK(start("", ",bootindex=7") == 2);
  CHECK(start(",bootindex=1", ",bootindex=0") == 2);
}

namespace {

// A CD whose only file is what El Torito 1.0 starts without emulation: code, at 07C0:0000.
std::filesystem::path disc_with(const TemporaryDirectory& directory, const Code& code) {
  constexpr size_t kSector = 2048;
  constexpr uint8_t kCatalog = 19, kImage = 20;  // sectors; the descriptors are 16 to 18
  std::string disc(64 * kSector, '\0');
  const auto put = [&](size_t sector, size_t offset, std::string_view bytes) {
    disc.replace(sector * kSector + offset, bytes.size(), bytes);
  };
  put(16, 0, std::string_view("\1CD001\1", 7));
  put(17, 0, std::string_view("\0CD001\1EL TORITO SPECIFICATION", 30));
  disc[17 * kSector + 0x47] = kCatalog;
  put(18, 0, std::string_view("\377CD001\1", 7));
  put(kCatalog, 0, std::string_view("\1", 1));  // the validation entry of an x86 catalog,
  put(kCatalog, 0x1c, std::string_view("\252\125\125\252"));       // with its checksum and key
  put(kCatalog, 0x20, std::string_view("\210\0\0\0\0\0\4\0", 8));  // bootable, four sectors of 512
  disc[kCatalog * kSector + 0x28] = kImage;
  put(kImage, 0, {reinterpret_cast<const char*>(code.data()), code.size()});
  const auto path = directory.path() / "disc.iso";
  std::ofstream(path, std::ios::binary) << disc;
  return path;
}

}  // namespace

TEST_CASE("a BIOS starts SCSI disks and CDs, in the order that it is told") {
  if (!has_bios()) return;
  const TemporaryDirectory directory;
  const auto disc = disc_with(directory, out(layout::kPortDebugExit, 3) + kHalt);
  const auto start = [&](const std::vector<std::string>& boot, const std::string& keys_of_2) {
    Description pc = of_two_disks(directory, "", ",bus=scsi" + keys_of_2);
    pc.cdrom = {"", disc.string()};
    pc.boot = boot;
    Machine machine(pc);
    machine.start();
    return exit_value(machine);
  };
  CHECK(start({}, "") == 1);
  CHECK(start({}, ",bootindex=3") == 2);
  CHECK(start({"order=d"}, "") == 3);
  CHECK(start({"once=d"}, ",bootindex=3") == 3);
}

TEST_CASE("once=d starts a CD, and behind a reset the disk") {
  if (!has_bios()) return;
  const TemporaryDirectory directory;
  Description pc = of_two_disks(directory, "", "");
  pc.cdrom = {disc_with(directory, out(0xcf9, 6) + kHalt).string()};
  pc.boot = {"once=d"};
  Machine machine(pc);
  machine.start();
  CHECK(exit_value(machine) == 1);
}

TEST_CASE("the menu of a BIOS, on the serial port, starts another disk") {
  if (!has_bios()) return;
  const TemporaryDirectory directory;
  Console console;
  Description description = of_two_disks(directory, "", "");
  description.boot = {"menu=on,menu-wait=60000"};
  description.serial = console;
  Machine machine(description);
  machine.start();
  console.expect("ESC", kPatience);
  console.write("\x1b");
  console.expect("2. ", kPatience);
  console.write("2");
  CHECK(exit_value(machine) == 2);
}

TEST_CASE("a BIOS that finds nothing to start says so to who runs the machine, and gives up") {
  if (!has_bios()) return;
  const TemporaryDirectory directory;
  std::string said;
  std::ofstream(directory.path() / "blank.img") << std::string(1 << 20, ' ');
  Machine machine({.memory = 64 * MiB,
                   .disk = {(directory.path() / "blank.img").string()},
                   .no_reboot = true,
                   .log = [&said](std::string_view line) { said += line; }});
  machine.start();
  const std::optional<End> end = machine.wait_for(kPatience);
  REQUIRE(end);
  CHECK(end->reason == End::Reason::reset);
  CHECK_THAT(said, Catch::Contains("bios: No bootable device") && Catch::Contains("--kernel"));
}

TEST_CASE("a BIOS finds the machine's UUID, and says it") {
  if (!has_bios()) return;
  const TemporaryDirectory directory;
  Console console;
  Machine machine({.uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
                   .memory = 64 * MiB,
                   .disk = {disk_with(directory, kHalt).string()},
                   .serial = console});
  machine.start();
  CHECK_NOTHROW(console.expect("UUID 6ba7b810-9dad-11d1-80b4-00c04fd430c8", kPatience));
}

// White blocks over the first four characters of the screen's 8x16.
TEST_CASE("what a boot sector writes and reads by its BIOS is a viewer's screen and keyboard") {
  if (!has_bios()) return;
  const TemporaryDirectory directory;
  const Code blocks{0xb4, 0x02, 0x31, 0xd2, 0x30, 0xff, 0xcd, 0x10,  // cursor to 0, 0
                    0xb8, 0xdb, 0x09, 0xbb, 0x0f, 0x00, 0xb9, 0x04, 0x00, 0xcd, 0x10};
  const std::string address = "unix:" + (directory.path() / "vnc").string();
  Console console;
  Machine machine({.memory = 64 * MiB,
                   .disk = {disk_with(directory, blocks + kAwaitKey + kExitWithAl + kHalt)},
                   .display = {"vnc=" + address},
                   .serial = console,
                   .debug_exit = true});
  machine.start();
  console.expect("SeaBIOS", kPatience);
  EventLoop loop;
  display::Client client(loop, address);
  client.join(true, {display::encoding::kZrle});
  client.update(false);
  const auto is_white = [&client](size_t x, size_t y) {
    return (client.viewer.picture[y * client.viewer.size.width + x] & 0xffffff) == 0xffffff;
  };
  const auto blocks_are_seen = [&] {
    for (size_t y = 0; y < 16; ++y)
      for (size_t x = 0; x < 4 * 8; ++x)
        if (!is_white(x, y)) return false;
    return true;
  };
  while (!blocks_are_seen()) client.update();
  CHECK(client.viewer.size == display::Size{1024, 768});
  CHECK_FALSE(is_white(4 * 8, 0));
  client.key('x', true);
  client.key('x', false);
  CHECK(exit_value(machine) == 'x');
  client.leave();
}

TEST_CASE("every way to reset a PC leads through its BIOS again") {
  if (!has_bios()) return;
  const TemporaryDirectory directory;
  const Code code =
      kCountRound + in_round(1, out(0xcf9, 2) + out(0xcf9, 6) + kHalt) +
      in_round(2, out(0x64, 0xfe) + kHalt) + in_round(3, kTripleFault) +
      in_round(4, out(0x92, 1) + kHalt) +
      in_round(5, out(layout::kPortAcpiPower + 2, 1) + kHalt) +  // the tables' reset register
      in_round(6, out(layout::kPortDebugExit, 6)) + out(layout::kPortDebugExit, 99) + kHalt;
  GuestOptions options = options_for(disk_with(directory, code));
  options.reboot = true;
  TestMachine machine(options);
  machine.start();
  const Outcome outcome = machine.wait();
  INFO(describe(outcome));
  REQUIRE(outcome.end);
  CHECK(outcome.end->reason == End::Reason::debug_exit);
  CHECK(outcome.end->value == 6);
}
