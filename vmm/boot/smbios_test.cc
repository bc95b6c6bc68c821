#include "vmm/boot/smbios.h"

#include <map>
#include <numeric>
#include <optional>
#include <string>

#include <catch2/catch.hpp>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

using namespace vireo;

namespace {

using Bytes = std::span<const std::byte>;

int sum(Bytes bytes) {
  return std::accumulate(
             bytes.begin(), bytes.end(), 0,
             [](int so_far, std::byte byte) { return so_far + std::to_integer<int>(byte); }) &
         0xff;
}

struct Structure {
  Bytes fields;  // with the header
  std::vector<std::string> texts{};

  uint8_t byte(size_t at) const { return std::to_integer<uint8_t>(fields[at]); }
  template <class T>
  T at(size_t offset) const {
    return ByteReader(fields.subspan(offset)).get<T>();
  }
  std::string text(size_t offset) const {
    return byte(offset) == 0 ? "" : texts.at(byte(offset) - size_t{1});
  }
};

std::string next_text(Bytes& rest) {
  const std::string text = reinterpret_cast<const char*>(rest.data());
  rest = rest.subspan(text.size() + 1);
  return text;
}

// As dmidecode walks them.
std::multimap<int, Structure> structures_of(Bytes rest) {
  std::multimap<int, Structure> all;
  while (!rest.empty()) {
    Structure one{rest.first(std::to_integer<size_t>(rest[1]))};
    rest = rest.subspan(one.fields.size());
    for (auto text = next_text(rest); !text.empty(); text = next_text(rest))
      one.texts.push_back(text);
    if (one.texts.empty()) rest = rest.subspan(1);
    all.emplace(one.byte(0), one);
  }
  return all;
}

const Structure& only(const std::multimap<int, Structure>& all, int type) {
  REQUIRE(all.count(type) == 1);
  return all.find(type)->second;
}

}  // namespace

TEST_CASE("a machine tells who made it, and what its number is") {
  const GuestMemory memory({.size = 2 * MiB});
  SmbiosInfo info{.uuid = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb,
                           0xcc, 0xdd, 0xee, 0xff}};
  info.bios = {.vendor = "V", .version = "2", .date = "01/02/2026"};
  info.system.serial = "S-1";
  info.chassis.asset = "web";
  const SmbiosTables tables = make_smbios_tables(info, memory, 3);
  const auto all = structures_of(tables.tables);
  CHECK(only(all, 0).text(4) == "V");
  CHECK(only(all, 0).text(5) == "2");
  CHECK(only(all, 0).text(8) == "01/02/2026");
  CHECK(only(all, 0).fields.size() == 0x18);
  const Structure& system = only(all, 1);
  CHECK(system.text(4) == "Vireo");
  CHECK(system.text(5) == "PC");
  CHECK(system.text(6).empty());
  CHECK(system.text(7) == "S-1");
  CHECK(system.at<le32>(8) == 0x00112233);
  CHECK(system.at<le16>(12) == 0x4455);
  CHECK(system.at<le16>(14) == 0x6677);
  CHECK(system.at<be64>(16) == 0x8899aabbccddeeff);
  CHECK(system.fields.size() == 0x1b);
  CHECK(only(all, 3).text(8) == "web");
  CHECK(only(all, 3).fields.size() == 0x16);
  CHECK(all.count(2) == 0);
  CHECK(all.count(11) == 0);
  CHECK(only(all, 127).fields.size() == 4);
}

TEST_CASE("a machine tells its processors and its memory") {
  const GuestMemory memory({.size = 4 * GiB});
  const SmbiosTables tables = make_smbios_tables({}, memory, 3);
  const auto all = structures_of(tables.tables);
  CHECK(only(all, 4).fields.size() == 0x2a);
  CHECK(only(all, 4).byte(0x23) == 3);
  CHECK(only(all, 16).fields.size() == 0x17);
  CHECK(only(all, 16).at<le64>(0x0f) == 4 * GiB);
  CHECK(only(all, 17).fields.size() == 0x28);
  CHECK(only(all, 17).at<le16>(0x0c) == 4096);
  CHECK(only(all, 17).at<le16>(4) == only(all, 16).at<le16>(2));
  const auto [first, end] = all.equal_range(19);
  REQUIRE(std::distance(first, end) == 2);
  CHECK(first->second.fields.size() == 0x1f);
  CHECK(first->second.at<le64>(0x17) == layout::kRamGapStart - 1);
  CHECK(std::next(first)->second.at<le64>(0x0f) == 4 * GiB);
  CHECK(only(all, 32).fields.size() == 0x0b);
}

TEST_CASE("a board is told of when something is known of it, and OEM strings as they come") {
  const GuestMemory memory({.size = 2 * MiB});
  SmbiosInfo info;
  info.board.location = "here";
  info.oem_strings = {"first", "second"};
  const SmbiosTables tables = make_smbios_tables(info, memory, 1);
  const auto all = structures_of(tables.tables);
  CHECK(only(all, 2).text(0x0a) == "here");
  CHECK(only(all, 2).at<le16>(0x0b) == only(all, 3).at<le16>(2));
  CHECK(only(all, 11).byte(4) == 2);
  CHECK(only(all, 11).texts == info.oem_strings);
  info.oem_strings = {std::string(kMostOfSmbios, 'x')};
  CHECK_THROWS_WITH(make_smbios_tables(info, memory, 1), Catch::Contains("too many"));
}

TEST_CASE("a kernel finds the tables below 1 MiB, with right sums") {
  GuestMemory memory({.size = 2 * MiB});
  const SmbiosTables tables = make_smbios_tables({}, memory, 1);
  CHECK(sum(tables.anchor) == 0);
  write_smbios_tables(memory, tables);
  const Bytes anchor = *memory.range(0xf0000, 31);
  CHECK(sum(anchor) == 0);
  CHECK(sum(anchor.subspan(16)) == 0);
  ByteReader reader(anchor.subspan(22));
  const uint16_t length = reader.get<le16>();
  const uint32_t address = reader.get<le32>();
  CHECK(reader.get<le16>() == structures_of(tables.tables).size());
  CHECK(address > 0xf0000 + 30);
  CHECK(address % 16 == 0);
  const Bytes written = *memory.range(address, length);
  CHECK(std::ranges::equal(written, tables.tables));
}
