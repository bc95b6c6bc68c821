#include "vmm/boot/elf.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include <fmt/core.h>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/boot/foreign.h"
#include "vmm/memory/layout.h"

namespace vireo {
namespace {

// System V ABI, "Object files"; the two classes differ in the width of addresses and in the order
// of a program header's fields.
struct Ident {
  std::array<uint8_t, 4> magic;
  uint8_t file_class, data, version, abi;
  std::array<uint8_t, 8> padding;
};
constexpr std::array<uint8_t, 4> kMagic{0x7f, 'E', 'L', 'F'};
constexpr uint8_t kClass32 = 1, kClass64 = 2, kLittleEndian = 1, kCurrentVersion = 1;
constexpr uint16_t kExecutable = 2, kDynamic = 3, kMachine386 = 3, kMachineX86_64 = 62;
constexpr uint32_t kLoad = 1, kNote = 4;

struct ProgramHeader32 {
  le32 type, offset, virtual_address, physical_address, file_size, memory_size, flags, align;
};
struct ProgramHeader64 {
  le32 type, flags;
  le64 offset, virtual_address, physical_address, file_size, memory_size, align;
};
template <class Address>
struct Header {
  Ident ident;
  le16 type, machine;
  le32 version;
  Address entry, program_headers, section_headers;
  le32 flags;
  le16 header_size, program_header_size, program_header_count, section_header_size,
      section_header_count, names_index;
};
static_assert(sizeof(Header<le32>) == 52 && sizeof(Header<le64>) == 64);
static_assert(sizeof(ProgramHeader32) == 32 && sizeof(ProgramHeader64) == 56);

struct Class32 {
  using ElfHeader = Header<le32>;
  using ProgramHeader = ProgramHeader32;
  static constexpr uint16_t kMachine = kMachine386;
  static constexpr bool kIs64 = false;
};
struct Class64 {
  using ElfHeader = Header<le64>;
  using ProgramHeader = ProgramHeader64;
  static constexpr uint16_t kMachine = kMachineX86_64;
  static constexpr bool kIs64 = true;
};

// Kernels have a handful of segments and a few hundred bytes of notes.
constexpr uint16_t kMaxProgramHeaders = 64;
constexpr uint64_t kMaxNotes = 64 * KiB;

struct NoteHeader {
  le32 name_size, description_size, type;
};
constexpr uint32_t kXenGuestOs = 6, kXenPhys32Entry = 18;  // Xen, public/elfnote.h

std::string_view as_text(std::span<const std::byte> bytes) {
  const std::string_view text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  return text.substr(0, text.find('\0'));
}

void note_found(ElfFile& elf, std::string_view owner, uint32_t type,
                std::span<const std::byte> description) {
  if (owner == "Linux") elf.is_linux = true;
  if (owner != "Xen") return;
  if (type == kXenGuestOs && as_text(description) == "linux") elf.is_linux = true;
  if (type != kXenPhys32Entry) return;
  // 4 bytes, or 8 from assemblers that write a native word; the entry is a 32-bit one either way.
  ByteReader reader(description);
  if (description.size() == 4) elf.pvh_entry = reader.get<le32>();
  if (description.size() == 8) elf.pvh_entry = reader.get<le64>();
}

// Reads notes until the first that does not fit: what is behind it means nothing.
void parse_notes(ElfFile& elf, std::span<const std::byte> notes, uint64_t align) {
  const auto padding = [&](uint32_t size) { return (align - size % align) % align; };
  ByteReader reader(notes);
  while (!reader.rest().empty()) {
    const auto header = reader.get<NoteHeader>();
    const auto name = reader.take(header.name_size);
    reader.take(padding(header.name_size));
    const auto description = reader.take(header.description_size);
    if (!reader.ok()) return;
    note_found(elf, as_text(name), header.type, description);
    // The last note need not be padded.
    reader.take(std::min<size_t>(padding(header.description_size), reader.rest().size()));
  }
}

template <class ProgramHeader>
void read_notes(const Image& image, const ProgramHeader& header, ElfFile& elf) {
  if (!image.contains(header.offset, header.file_size))
    image.corrupt("its notes lie outside the file");
  std::vector<std::byte> notes(std::min<uint64_t>(header.file_size, kMaxNotes));
  image.read(header.offset, notes);
  parse_notes(elf, notes, header.align == 8U ? 8 : 4);
}

template <class ProgramHeader>
void add_segment(const Image& image, const ProgramHeader& header, ElfFile& elf) {
  const ElfSegment segment{.offset = header.offset,
                           .file_size = header.file_size,
                           .memory_size = header.memory_size,
                           .physical_address = header.physical_address,
                           .virtual_address = header.virtual_address};
  if (!image.contains(segment.offset, segment.file_size))
    image.corrupt(
        fmt::format("its segment of {:#x} bytes at offset {:#x} lies outside the file (truncated?)",
                    segment.file_size, segment.offset));
  if (segment.file_size > segment.memory_size)
    image.corrupt("a segment is larger in the file than in memory");
  if (segment.memory_size > UINT64_MAX - segment.physical_address)
    image.corrupt("a segment wraps around the end of the address space");
  if (segment.memory_size != 0) elf.segments.push_back(segment);
}

std::string describe_machine(uint16_t machine) {
  const std::string_view name = elf_machine_name(machine);
  return name.empty() ? fmt::format("ELF machine {}", machine) : std::string(name);
}

// The header's fields up to the machine lie at the same places in both classes and orders.
std::string describe_big_endian(const Image& image) {
  return describe_machine(image.read<be16>(offsetof(Class32::ElfHeader, machine)));
}

template <class Class>
ElfFile parse(const Image& image) {
  const auto header = image.read<typename Class::ElfHeader>(0);
  if (header.machine != Class::kMachine)
    throw ConfigError(fmt::format("{} is not for x86: it is for {}", image.name(),
                                  describe_machine(header.machine)));
  if (header.type != kExecutable && header.type != kDynamic)
    throw ConfigError(fmt::format("{} is an ELF file, but not an executable one", image.name()));
  if (header.program_header_size != sizeof(typename Class::ProgramHeader))
    image.corrupt("its program headers have a wrong size");
  if (header.program_header_count > kMaxProgramHeaders)
    image.corrupt("it has too many program headers");

  std::vector<typename Class::ProgramHeader> table(header.program_header_count);
  if (!image.contains(header.program_headers, std::span(table).size_bytes()))
    image.corrupt("its program headers lie outside the file");
  image.read(header.program_headers, std::as_writable_bytes(std::span(table)));

  ElfFile elf{.is_64bit = Class::kIs64, .entry = header.entry};
  for (const auto& entry : table) {
    if (entry.type == kLoad) add_segment(image, entry, elf);
    if (entry.type == kNote) read_notes(image, entry, elf);
  }
  if (elf.segments.empty()) image.corrupt("it has nothing to load");
  return elf;
}

}  // namespace

bool ElfFile::holds(uint64_t physical) const noexcept {
  return std::ranges::any_of(segments, [&](const ElfSegment& segment) {
    return physical >= segment.physical_address &&
           physical - segment.physical_address < segment.memory_size;
  });
}

std::optional<uint64_t> ElfFile::physical_entry() const noexcept {
  if (holds(entry)) return entry;
  for (const ElfSegment& segment : segments)
    if (entry >= segment.virtual_address && entry - segment.virtual_address < segment.memory_size)
      return segment.physical_address + (entry - segment.virtual_address);
  return std::nullopt;
}

bool is_elf(const Image& image) {
  return image.size() >= kMagic.size() && image.read<std::array<uint8_t, 4>>(0) == kMagic;
}

ElfFile parse_elf(const Image& image) {
  const auto ident = image.read<Ident>(0);
  if (ident.magic != kMagic) image.corrupt("it is not an ELF file");
  if (ident.data != kLittleEndian || ident.version != kCurrentVersion)
    throw ConfigError(fmt::format("{} is not a little-endian ELF file of version 1 (it is for {})",
                                  image.name(), describe_big_endian(image)));
  if (ident.file_class == kClass64) return parse<Class64>(image);
  if (ident.file_class == kClass32) return parse<Class32>(image);
  image.corrupt("its ELF class is unknown");
}

void load_segments(const Image& image, const ElfFile& elf, GuestMemory& memory, RamMap& ram) {
  for (const ElfSegment& segment : elf.segments) {
    ram.claim(segment.physical_address, segment.memory_size, image.name());
    load_into(memory, segment.physical_address, image, segment.offset, segment.file_size);
  }
}

}  // namespace vireo
