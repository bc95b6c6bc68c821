#include "vmm/boot/elf.h"

#include <array>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/boot/testing/kernels.h"

namespace vireo {
namespace {

using Catch::Contains;
using testing::Bytes;
using testing::make_elf;
using testing::poke;
using testing::TestElf;
using testing::TestSegment;

ElfFile parse(const Bytes& bytes) {
  return parse_elf(MemoryImage("kernel 'k'", bytes));
}

// What elf.h promises of a parsed file.
void check_promises(const ElfFile& elf, const Bytes& bytes) {
  CHECK_FALSE(elf.segments.empty());
  for (const ElfSegment& segment : elf.segments) {
    CHECK(segment.offset <= bytes.size());
    CHECK(segment.file_size <= bytes.size() - segment.offset);
    CHECK(segment.memory_size > 0);
    CHECK(segment.memory_size >= segment.file_size);
    CHECK(segment.physical_address + segment.memory_size >= segment.physical_address);
  }
}

// Offsets in the ELF header and the first program header.
struct Field {
  const char* name;
  size_t offset64, offset32;
  size_t size64, size32;
};
constexpr std::array kFields{Field{"magic", 0, 0, 4, 4},
                             Field{"class", 4, 4, 1, 1},
                             Field{"data", 5, 5, 1, 1},
                             Field{"version", 6, 6, 1, 1},
                             Field{"type", 16, 16, 2, 2},
                             Field{"machine", 18, 18, 2, 2},
                             Field{"entry", 24, 24, 8, 4},
                             Field{"phoff", 32, 28, 8, 4},
                             Field{"shoff", 40, 32, 8, 4},
                             Field{"phentsize", 54, 42, 2, 2},
                             Field{"phnum", 56, 44, 2, 2},
                             Field{"p_type", 64, 52, 4, 4},
                             Field{"p_offset", 72, 56, 8, 4},
                             Field{"p_vaddr", 80, 60, 8, 4},
                             Field{"p_paddr", 88, 64, 8, 4},
                             Field{"p_filesz", 96, 68, 8, 4},
                             Field{"p_memsz", 104, 72, 8, 4},
                             Field{"p_align", 112, 80, 8, 4},
                             Field{"note p_offset", 128, 88, 8, 4},
                             Field{"note p_filesz", 152, 100, 8, 4},
                             Field{"note p_align", 168, 112, 8, 4}};

}  // namespace

TEST_CASE("an ELF kernel is read, of either class") {
  const bool wide = GENERATE(true, false);
  TestElf source{.is_64bit = wide, .entry = 0x1000040};
  source.segments = {{.address = 0x1000000, .virtual_address = 0x81000000, .memory_size = 8192},
                     {.address = 0x2000000, .virtual_address = 0, .content = {}, .memory_size = 5}};
  source.notes = testing::pvh_note(0x1000100);
  const ElfFile elf = parse(make_elf(source));
  CHECK(elf.is_64bit == wide);
  CHECK(elf.entry == 0x1000040);
  CHECK(elf.pvh_entry == 0x1000100);
  CHECK_FALSE(elf.is_linux);
  REQUIRE(elf.segments.size() == 2);
  CHECK(elf.segments[0] == ElfSegment{4096, 3000, 8192, 0x1000000, 0x81000000});
  CHECK(elf.segments[1].memory_size == 5);
  CHECK(elf.holds(0x1001fff));
  CHECK_FALSE(elf.holds(0x1002000));
  CHECK_FALSE(elf.holds(0xffffff));
}

TEST_CASE("notes tell Linux and the PVH entry") {
  Bytes notes;
  SECTION("Xen's guest OS") {
    testing::add_note(notes, "Xen", 6, bytes_of_text(std::string_view("linux\0", 6)));
    CHECK(parse(make_elf({.notes = notes})).is_linux);
  }
  SECTION("another guest OS") {
    testing::add_note(notes, "Xen", 6, bytes_of_text("FreeBSD"));
    CHECK_FALSE(parse(make_elf({.notes = notes})).is_linux);
  }
  SECTION("Linux' own note, behind another") {
    testing::add_note(notes, "GNU", 3, bytes_of_text("01234567890123456789"));
    testing::add_note(notes, "Linux", 0x100, bytes_of(le32(0)));
    CHECK(parse(make_elf({.notes = notes})).is_linux);
  }
  SECTION("a PVH entry of 8 bytes, behind an odd one") {
    testing::add_note(notes, "odd", 1, bytes_of_text("abcde"));
    testing::add_note(notes, "Xen", 18, bytes_of(le64(0x1234567)));
    CHECK(parse(make_elf({.notes = notes})).pvh_entry == 0x1234567);
  }
  SECTION("a PVH entry of a wrong size") {
    testing::add_note(notes, "Xen", 18, bytes_of(le16(7)));
    CHECK_FALSE(parse(make_elf({.notes = notes})).pvh_entry);
  }
  SECTION("a note cut off") {
    notes = testing::pvh_note(0x1000000);
    notes.resize(notes.size() - 1);
    CHECK_FALSE(parse(make_elf({.notes = notes})).pvh_entry);
  }
  SECTION("a note whose sizes add up to more than 32 bits hold") {
    notes = testing::pvh_note(0x1000000);
    poke(notes, 0, le32(0xfffffff0));
    poke(notes, 4, le32(0xffffffff));
    CHECK_FALSE(parse(make_elf({.notes = notes})).pvh_entry);
  }
}

TEST_CASE("the entry point may be given as a virtual address") {
  TestElf source{.entry = 0xffffffff81000040};
  CHECK(parse(make_elf(source)).physical_entry() == 0x1000040);
  source.entry = 0x1000040;
  CHECK(parse(make_elf(source)).physical_entry() == 0x1000040);
  source.entry = 0xffffffff81002000;
  CHECK_FALSE(parse(make_elf(source)).physical_entry());
}

TEST_CASE("an ELF file that is no kernel says why not") {
  Bytes bytes = make_elf({});
  const auto message = [&] {
    try {
      parse(bytes);
      return std::string("accepted");
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
  };
  SECTION("for another machine") {
    poke(bytes, 18, le16(183));
    CHECK(message() == "kernel 'k' is not for x86: it is for AArch64");
  }
  SECTION("an object file") {
    poke(bytes, 16, le16(1));
    CHECK_THAT(message(), Contains("not an executable"));
  }
  SECTION("big-endian") {
    poke(bytes, 5, uint8_t{2});
    CHECK_THAT(message(), Contains("little-endian"));
  }
  SECTION("no segments") {
    poke(bytes, 64, le32(0));
    CHECK_THAT(message(), Contains("nothing to load"));
  }
  SECTION("truncated in a segment") {
    bytes.resize(4096 + 2999);
    CHECK_THAT(message(), Contains("truncated"));
  }
  SECTION("truncated in the program headers") {
    bytes.resize(100);
    CHECK_THAT(message(), Contains("program headers lie outside"));
  }
  SECTION("truncated in the header") {
    bytes.resize(63);
    CHECK_THAT(message(), Contains("truncated"));
  }
  SECTION("a segment larger in the file than in memory") {
    poke(bytes, 104, le64(2999));
    CHECK_THAT(message(), Contains("larger in the file"));
  }
  SECTION("a segment that wraps around") {
    poke(bytes, 88, le64(UINT64_MAX - 8190));
    CHECK_THAT(message(), Contains("wraps"));
  }
  SECTION("more program headers than the table has room for") {
    poke(bytes, 56, le16(0xffff));
    CHECK_THAT(message(), Contains("too many"));
  }
}

TEST_CASE("hostile values in every field are refused or keep the promises") {
  const bool wide = GENERATE(true, false);
  const Bytes good = make_elf({.is_64bit = wide, .notes = testing::linux_note()});
  for (const Field& field : kFields) {
    for (const uint64_t value :
         {uint64_t{0}, uint64_t{1}, uint64_t{0x7f}, uint64_t{4096}, uint64_t{good.size()},
          uint64_t{good.size() - 1}, uint64_t{0x7fffffff}, uint64_t{0xfffffff8},
          uint64_t{0xffffffff}, uint64_t{0x7fffffffffffffff}, UINT64_MAX - 7, UINT64_MAX}) {
      Bytes bytes = good;
      const le64 raw = value;
      std::memcpy(bytes.data() + (wide ? field.offset64 : field.offset32), &raw,
                  wide ? field.size64 : field.size32);
      INFO(field.name << " = " << value);
      try {
        check_promises(parse(bytes), bytes);
      } catch (const ConfigError&) {
        SUCCEED("refused");
      }
    }
  }
}

TEST_CASE("segments land where they belong") {
  GuestMemory memory({.size = 64 * MiB});
  RamMap ram(memory);
  TestElf source;
  source.segments = {{.address = 0x1000000}, {.address = 0x1002000, .content = {}}};
  const Bytes bytes = make_elf(source);
  const MemoryImage image("kernel 'k'", bytes);
  load_segments(image, parse_elf(image), memory, ram);
  const Bytes& content = source.segments[0].content;
  const auto loaded = memory.range(0x1000000, content.size()).value();
  CHECK(std::equal(content.begin(), content.end(), loaded.begin()));
  CHECK(all_zero(memory.range(0x1000000 + content.size(), 16384 - content.size()).value()));
  CHECK_THROWS_AS(ram.claim(0x1003fff, 1, "x"), ConfigError);
}

TEST_CASE("segments that overlap each other or the tables are refused") {
  GuestMemory memory({.size = 64 * MiB});
  RamMap ram(memory);
  TestElf source;
  SECTION("each other") {
    source.segments = {{.address = 0x1000000}, {.address = 0x1001fff}};
  }
  SECTION("the page tables") {
    source.segments = {{.address = layout::kPageTables}};
  }
  SECTION("the firmware tables") {
    source.segments = {{.address = layout::kAcpiTables}};
  }
  SECTION("the end of memory") {
    source.segments = {{.address = 64 * MiB - 4096}};
  }
  SECTION("no memory at all") {
    source.segments = {{.address = 1ull << 40}};
  }
  const Bytes bytes = make_elf(source);
  const MemoryImage image("kernel 'k'", bytes);
  CHECK_THROWS_AS(load_segments(image, parse_elf(image), memory, ram), ConfigError);
}

}  // namespace vireo
