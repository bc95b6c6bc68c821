#include "devices/firmware/acpi_files.h"

#include <cstring>
#include <map>

#include <catch2/catch.hpp>

using namespace vireo;
using namespace vireo::dev;

namespace {

using Bytes = std::vector<std::byte>;

std::string name_at(ByteReader& reader) {
  const auto bytes = reader.take(56);
  return reinterpret_cast<const char*>(bytes.data());
}

Bytes file(const FwCfgItems& items, std::string_view name) {
  const auto bytes = items.item(items.key_of(name).value());
  return {bytes.begin(), bytes.end()};
}

// What a BIOS makes of the files by the commands.
struct Loader {
  const FwCfgItems& items;
  std::map<std::string, uint64_t> addresses{{"etc/acpi/rsdp", 0xf5000},
                                            {"etc/acpi/tables", 0x7ff0000}};
  std::map<std::string, Bytes> files{};

  void run(ByteReader command) {
    const uint32_t kind = command.get<le32>();
    const std::string name = name_at(command);
    if (kind == 1) files[name] = file(items, name);
    if (kind == 2) add_pointer(files.at(name), command);
    if (kind == 3) add_checksum(files.at(name), command);
  }
  void add_pointer(Bytes& bytes, ByteReader& command) {
    const uint64_t address = addresses.at(name_at(command));
    const uint32_t offset = command.get<le32>();
    uint64_t value = 0;
    const uint8_t size = command.get<uint8_t>();
    std::memcpy(&value, &bytes.at(offset), size);
    value += address;
    std::memcpy(&bytes.at(offset), &value, size);
  }
  static void add_checksum(Bytes& bytes, ByteReader& command) {
    const uint32_t offset = command.get<le32>(), start = command.get<le32>(),
                   length = command.get<le32>();
    int sum = 0;
    for (uint32_t i = 0; i < length; ++i) sum += std::to_integer<int>(bytes.at(start + i));
    bytes.at(offset) = std::byte(std::to_integer<int>(bytes.at(offset)) - sum);
  }
};

}  // namespace

TEST_CASE("a BIOS puts the firmware tables where it likes, as if they had been placed there") {
  AcpiNamespace names;
  const std::array<uint32_t, 2> apic_ids{0, 1};
  AcpiTables tables = make_acpi_tables({.apic_ids = apic_ids, .names = names});
  FwCfgItems items;
  add_acpi_files(items, tables);
  Loader loader{items};
  const Bytes script = file(items, "etc/table-loader");
  REQUIRE(script.size() % 128 == 0);
  for (size_t at = 0; at < script.size(); at += 128)
    loader.run(ByteReader(std::span(script).subspan(at, 128)));
  place(tables, 0xf5000, 0x7ff0000);
  CHECK(loader.files.at("etc/acpi/rsdp") == tables.rsdp);
  CHECK(loader.files.at("etc/acpi/tables") == tables.tables);
}
