// A BIOS starts the boot sector of a disk. Skipped, saying so, without the package seabios.
#include <array>
#include <fstream>

#include <catch2/catch.hpp>

#include "guest-tests/harness.h"

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
    0xb6, 0x00,                              // mov $0, %dh
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

std::filesystem::path disk_with(const TemporaryDirectory& directory, Code code) {
  constexpr size_t kDisk = 1 << 20;
  code.resize(510);
  code = code + Code{0x55, 0xaa};
  code.resize(kDisk);
  const auto path = directory.path() / "disk.img";
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(code.data()), static_cast<std::streamsize>(code.size()));
  return path;
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
