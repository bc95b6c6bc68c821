#include "vmm/boot/acpi.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>

#include <catch2/catch.hpp>
#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/boot/testing/kernels.h"

namespace vireo {
namespace {

using testing::Bytes;
using testing::peek;

constexpr uint64_t kBase = layout::kAcpiTables;

void add_com(AcpiNamespace& names, uint16_t port, uint8_t irq) {
  const auto place = names.next("COM", 1, 1);
  names.add({.name = place.name,
             .uid = place.uid,
             .hid = "PNP0501",
             .resources = {aml::io_ports(port, 8), aml::isa_irq(irq)}});
}

void add_virtio(AcpiNamespace& names, uint32_t address, uint32_t gsi) {
  const auto place = names.next("V", 3);
  names.add({.name = place.name,
             .uid = place.uid,
             .hid = kVirtioMmioHid,
             .resources = {aml::memory32(address, 0x1000), aml::interrupt(gsi)}});
}

void add_power(AcpiNamespace& names) {
  names.set_power({.sleep_control = 0x600,
                   .sleep_status = 0x601,
                   .reset = 0x602,
                   .reset_value = 1,
                   .sleep_type_off = 5});
  names.add({.name = "PWRB", .hid = "PNP0C0C"});
  names.add({.name = "GED",
             .hid = "ACPI0013",
             .resources = {aml::interrupt(9)},
             .terms = {aml::io_region("EREG", 0x603, 1), aml::byte_field("EREG", "EVNT"),
                       aml::serialized_method("_EVT", 1, {aml::notify("PWRB", 0x80)})}});
}

AcpiNamespace all_devices() {
  AcpiNamespace names;
  add_com(names, 0x3f8, 4);
  add_com(names, 0x2f8, 3);
  names.set_boot_flags(kAcpiLegacyDevices | kAcpiHas8042);
  names.clear_boot_flags(kAcpiNoCmosRtc);
  names.add({.name = "MOU", .hid = "PNP0F13", .resources = {aml::isa_irq(12)}});
  add_power(names);
  add_virtio(names, 0xd0000000, 23);
  add_virtio(names, 0xd0001000, 22);
  return names;
}

std::vector<uint32_t> ids(uint32_t count) {
  std::vector<uint32_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

struct AcpiTable {
  uint64_t address = 0;
  std::string signature{};
  Bytes bytes{};
};

// Where they lie at kBase, each by itself, as who walks from the RSDP finds them.
std::vector<AcpiTable> placed_tables(const AcpiPlatform& platform) {
  constexpr uint64_t kTables = kBase + 0x40;
  AcpiTables tables = make_acpi_tables(platform);
  place(tables, kBase, kTables);
  std::vector<AcpiTable> all{{kBase, "RSDP", tables.rsdp}};
  for (size_t at = 0; at < tables.tables.size(); at = (at + 15) / 16 * 16) {
    const uint32_t length = peek<le32>(tables.tables, at + 4);
    const auto begin = tables.tables.begin() + static_cast<std::ptrdiff_t>(at);
    Bytes bytes(begin, begin + static_cast<std::ptrdiff_t>(length));
    const std::string signature(reinterpret_cast<const char*>(bytes.data()), 4);
    all.push_back({kTables + at, signature, std::move(bytes)});
    at += length;
  }
  return all;
}

struct Tables {
  std::vector<uint32_t> apic_ids;
  AcpiNamespace names;
  std::vector<AcpiTable> all = placed_tables({apic_ids, names});

  const AcpiTable& operator[](const std::string& signature) const {
    return *std::ranges::find(all, signature, &AcpiTable::signature);
  }
  bool has_text(std::string_view text) const {
    const Bytes& bytes = (*this)["DSDT"].bytes;
    const auto* data = reinterpret_cast<const char*>(bytes.data());
    return std::string_view(data, bytes.size()).find(text) != std::string_view::npos;
  }
};

uint8_t sum(std::span<const std::byte> bytes) {
  unsigned total = 0;
  for (const std::byte byte : bytes) total += std::to_integer<unsigned>(byte);
  return static_cast<uint8_t>(total);
}

// The entries of an MADT, each with its type in front.
std::vector<Bytes> madt_entries(const AcpiTable& madt) {
  std::vector<Bytes> entries;
  for (size_t at = 44; at < madt.bytes.size();) {
    const auto length = std::to_integer<std::ptrdiff_t>(madt.bytes[at + 1]);
    REQUIRE(length >= 2);
    const auto begin = madt.bytes.begin() + static_cast<std::ptrdiff_t>(at);
    entries.emplace_back(begin, begin + length);
    at += static_cast<size_t>(length);
  }
  return entries;
}

}  // namespace

TEST_CASE("every ACPI table is whole, and found from the RSDP") {
  const Tables tables{ids(4), all_devices()};
  for (const AcpiTable& table : tables.all) {
    INFO(table.signature);
    CHECK(sum(table.bytes) == 0);
    CHECK(table.address % 16 == 0);
    if (table.signature == "RSDP") continue;
    CHECK(std::memcmp(table.bytes.data(), table.signature.data(), 4) == 0);
    CHECK(peek<le32>(table.bytes, 4) == table.bytes.size());
  }
  const Bytes& rsdp = tables["RSDP"].bytes;
  CHECK(tables["RSDP"].address == kBase);
  CHECK(std::memcmp(rsdp.data(), "RSD PTR ", 8) == 0);
  CHECK(sum(std::span(rsdp).first(20)) == 0);
  CHECK(peek<le64>(rsdp, 24) == tables["XSDT"].address);
  const Bytes& xsdt = tables["XSDT"].bytes;
  REQUIRE(xsdt.size() == 36 + 16);
  CHECK(peek<le64>(xsdt, 36) == tables["FACP"].address);
  CHECK(peek<le64>(xsdt, 44) == tables["APIC"].address);
  CHECK(peek<le64>(tables["FACP"].bytes, 140) == tables["DSDT"].address);
}

TEST_CASE("ACPI tables do not overlap") {
  const Tables tables{ids(300), all_devices()};
  auto sorted = tables.all;
  std::ranges::sort(sorted, {}, &AcpiTable::address);
  for (size_t i = 1; i < sorted.size(); ++i)
    CHECK(sorted[i - 1].address + sorted[i - 1].bytes.size() <= sorted[i].address);
}

TEST_CASE("the FADT describes hardware-reduced power control") {
  const Tables tables{ids(1), all_devices()};
  const Bytes& fadt = tables["FACP"].bytes;
  CHECK(fadt.size() == 276);
  const uint32_t flags = peek<le32>(fadt, 112);
  CHECK((flags & 1U << 20) != 0);  // hardware-reduced
  CHECK((flags & 1U << 10) != 0);  // reset register
  CHECK((flags & 0x30) == 0x30);   // no fixed buttons
  const auto check_register = [&](size_t at, uint64_t port) {
    CHECK(peek<le32>(fadt, at) == 0x01000801U);  // I/O, 8 bits, byte access
    CHECK(peek<le64>(fadt, at + 4) == port);
  };
  check_register(116, layout::kPortAcpiPower + 2);
  CHECK(fadt[128] == std::byte{1});
  check_register(244, layout::kPortAcpiPower);
  check_register(256, layout::kPortAcpiPower + 1);
  CHECK(peek<le16>(fadt, 109) == 0x7U);  // legacy devices, 8042, no VGA, an RTC
}

TEST_CASE("the FADT tells what is not there") {
  const Tables tables{ids(1), {}};
  const Bytes& fadt = tables["FACP"].bytes;
  CHECK(peek<le16>(fadt, 109) == 0x24U);  // no VGA, no RTC, no 8042
  CHECK((peek<le32>(fadt, 112) & 1U << 10) == 0);
  CHECK(peek<le64>(fadt, 120) == 0U);
  CHECK(peek<le64>(fadt, 248) == 0U);
  CHECK_FALSE(tables.has_text("_S5_"));
  CHECK_FALSE(tables.has_text("ACPI0013"));
}

TEST_CASE("the MADT lists processors by their APIC ids") {
  std::vector<uint32_t> numbers{0, 2, 254, 255, 1000};
  const Tables tables{numbers, {}};
  const Bytes& bytes = tables["APIC"].bytes;
  CHECK(peek<le32>(bytes, 36) == layout::kLocalApic);
  CHECK(peek<le32>(bytes, 40) == 0U);  // no 8259
  const auto entries = madt_entries(tables["APIC"]);
  REQUIRE(entries.size() == 7);
  for (const size_t i : {0U, 1U, 2U}) {
    CHECK(entries[i].size() == 8);
    CHECK(entries[i][0] == std::byte{0});
    CHECK(entries[i][2] == static_cast<std::byte>(i));
    CHECK(entries[i][3] == static_cast<std::byte>(numbers[i]));
    CHECK(peek<le32>(entries[i], 4) == 1U);
  }
  for (const size_t i : {3U, 4U}) {
    CHECK(entries[i].size() == 16);
    CHECK(entries[i][0] == std::byte{9});
    CHECK(peek<le32>(entries[i], 4) == numbers[i]);
    CHECK(peek<le32>(entries[i], 8) == 1U);
    CHECK(peek<le32>(entries[i], 12) == i);
  }
  CHECK(entries[5][0] == std::byte{1});
  CHECK(peek<le32>(entries[5], 4) == layout::kIoApic);
  CHECK(peek<le32>(entries[5], 8) == 0U);
  CHECK(entries[6][0] == std::byte{4});
}

TEST_CASE("many processors, some of which need the longer entry for their number alone") {
  const Tables tables{ids(300), {}};
  const auto entries = madt_entries(tables["APIC"]);
  REQUIRE(entries.size() == 302);
  CHECK(entries[254][0] == std::byte{0});
  CHECK(entries[255][0] == std::byte{9});
  CHECK(tables.has_text("C12B"));
}

TEST_CASE("the DSDT names the devices Linux looks for") {
  const Tables tables{ids(2), all_devices()};
  for (const char* text : {"LNRO0005", "ACPI0013", "ACPI0007", "V000", "V001", "COM1", "COM2",
                           "C001", "PWRB", "_EVT", "_S5_"}) {
    INFO(text);
    CHECK(tables.has_text(text));
  }
}

TEST_CASE("tables are written where kernels look, and fit or are refused") {
  GuestMemory memory({.size = MiB});
  const auto devices = all_devices();
  const auto few = ids(32);
  CHECK(write_acpi_tables(memory, {few, devices}) == layout::kAcpiTables);
  CHECK(std::memcmp(memory.range(layout::kAcpiTables, 8)->data(), "RSD PTR ", 8) == 0);
  const auto many = ids(1024);
  CHECK_NOTHROW(write_acpi_tables(memory, {many, devices}));
  const auto too_many = ids(4096);
  CHECK_THROWS_WITH(write_acpi_tables(memory, {too_many, devices}),
                    Catch::Contains("4096 processors") && Catch::Contains("do not fit"));
}

// ACPICA's own reading of the tables: disassembled and compiled again they are the same bytes, and
// its compiler has nothing to complain about.
TEST_CASE("iasl understands every table") {
  if (std::system("command -v iasl >/dev/null 2>&1") != 0) {
    WARN("iasl (package acpica-tools) is not installed: not tried");
    return;
  }
  const auto [processors, devices] =
      GENERATE(std::pair{ids(300), all_devices()}, std::pair{ids(1), AcpiNamespace{}});
  const Tables tables{processors, devices};
  for (const AcpiTable& table : tables.all) {
    if (table.signature == "RSDP") continue;
    INFO(table.signature);
    const testing::TempDir dir;
    dir.write("t.dat", table.bytes);
    const std::string in = "cd '" + dir.path().string() + "' && ";
    CHECK(std::system(
              (in + "iasl -d t.dat >out 2>&1 && iasl -we -oa -p again t.dsl >out 2>&1").c_str()) ==
          0);
    std::ifstream out(dir.path() / "out");
    INFO(std::string(std::istreambuf_iterator<char>(out), {}));
    std::ifstream again(dir.path() / "again.aml", std::ios::binary);
    const std::string compiled(std::istreambuf_iterator<char>(again), {});
    // The compiler writes its own name and version into the header.
    REQUIRE(compiled.size() == table.bytes.size());
    CHECK(std::memcmp(compiled.data() + 36, table.bytes.data() + 36, compiled.size() - 36) == 0);
  }
}

}  // namespace vireo
