#include "vmm/boot/multiboot.h"

#include <algorithm>
#include <array>

#include <fmt/core.h>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/boot/elf.h"
#include "vmm/memory/layout.h"

namespace vireo {
namespace {

// Specification, 3.1.1.
struct RawHeader {
  le32 magic, flags, checksum;
  le32 header_address, load_address, load_end, bss_end, entry;
};
constexpr uint32_t kHeaderMagic = 0x1badb002;
constexpr uint64_t kSearched = 8 * KiB;
constexpr size_t kShortHeader = 3 * sizeof(le32);  // without addresses
// Bits 0 to 15 are requirements. Modules are page-aligned (0) and memory is always told (1); video
// (2) may be missing from the information, which says so by its own flags. Others are unknown.
constexpr uint32_t kRequirements = 0xffff, kKnownRequirements = 7;

// Specification, 3.3, up to what is told here; the flags say that the rest is not.
struct Information {
  le32 flags;
  le32 memory_lower, memory_upper;  // KiB from 0 and from 1 MiB
  le32 boot_device, command_line;
  le32 module_count, modules;
  std::array<le32, 4> symbols;
  le32 memory_map_length, memory_map;
  le32 drives_length, drives, config_table, loader_name, apm_table;
  std::array<le32, 4> vesa;
  le64 framebuffer;
  le32 pitch, width, height;
  uint8_t bits_per_pixel, framebuffer_type;
  struct Field {
    uint8_t position, size;  // bits
  };
  Field red, green, blue;
};
static_assert(sizeof(Information) == 116);
constexpr uint32_t kHasMemory = 1 << 0, kHasCommandLine = 1 << 2, kHasModules = 1 << 3,
                   kHasMemoryMap = 1 << 6, kHasLoaderName = 1 << 9, kHasFramebuffer = 1 << 12;
constexpr uint8_t kDirectColour = 1;

struct Module {
  le32 start, end, name, reserved;
};

struct MemoryMapEntry {
  le32 size{20};  // of the rest
  le64 address, length;
  le32 type;
};
static_assert(sizeof(MemoryMapEntry) == 24);

// From the start of the information structure.
constexpr uint32_t kModule = 0x100;
constexpr uint32_t kLoaderName = 0x140;
constexpr uint32_t kNoName = 0x180;  // a zero byte
constexpr uint32_t kMemoryMap = 0x200;
constexpr std::array<char, 6> kName{"vireo"};

constexpr uint32_t kBootloaderMagic = 0x2badb002;  // in eax at entry

MultibootHeader parsed(uint64_t offset, const RawHeader& raw) {
  return {.offset = offset,
          .flags = raw.flags,
          .header_address = raw.header_address,
          .load_address = raw.load_address,
          .load_end = raw.load_end,
          .bss_end = raw.bss_end,
          .entry = raw.entry};
}

// Specification, 3.1.3: the header's place in the file and in memory tie the two together.
uint64_t load_flat(const Image& image, const MultibootHeader& header, GuestMemory& memory,
                   RamMap& ram) {
  const uint64_t before = header.header_address - uint64_t{header.load_address};
  if (header.load_address > header.header_address || before > header.offset)
    image.corrupt("its multiboot header is not where its addresses put it");
  const uint64_t offset = header.offset - before;
  const uint64_t load_end = header.load_end != 0 ? uint64_t{header.load_end}
                                                 : header.load_address + (image.size() - offset);
  if (load_end <= header.load_address) image.corrupt("its multiboot header has nothing to load");
  const uint64_t length = load_end - header.load_address;
  if (!image.contains(offset, length))
    image.corrupt("its multiboot header wants more than the file has (truncated?)");
  const uint64_t end = std::max<uint64_t>(load_end, header.bss_end);
  if (header.entry < header.load_address || header.entry >= end)
    image.corrupt("its multiboot entry point lies outside of it");
  ram.claim(header.load_address, end - header.load_address, image.name());
  load_into(memory, header.load_address, image, offset, length);
  return header.entry;
}

uint64_t load_elf(const Image& image, GuestMemory& memory, RamMap& ram) {
  const ElfFile elf = parse_elf(image);
  const auto entry = elf.physical_entry();
  if (!entry) image.corrupt("its entry point lies in none of its segments");
  load_segments(image, elf, memory, ram);
  return *entry;
}

std::vector<std::byte> memory_map(std::span<const E820Entry> e820) {
  ByteWriter map;
  for (const E820Entry& entry : e820)
    map.put(MemoryMapEntry{.address = entry.address,
                           .length = entry.length,
                           .type = static_cast<uint32_t>(entry.type)});
  return map.take();
}

void tell_of(const LinearFramebuffer& screen, Information& info) {
  info.flags = info.flags | kHasFramebuffer;
  info.framebuffer = screen.address;
  info.pitch = screen.stride();
  info.width = screen.width;
  info.height = screen.height;
  info.bits_per_pixel = 8 * LinearFramebuffer::kPixel;
  info.framebuffer_type = kDirectColour;
  info.red = {16, 8};
  info.green = {8, 8};
  info.blue = {0, 8};
}

// KiB of RAM that begin at `start`.
uint32_t kib_at(std::span<const E820Entry> e820, uint64_t start) {
  const auto entry = std::ranges::find(e820, start, &E820Entry::address);
  return entry == e820.end() ? 0 : static_cast<uint32_t>(entry->length / KiB);
}

}  // namespace

std::optional<MultibootHeader> find_multiboot_header(const Image& image) {
  std::array<std::byte, kSearched + sizeof(RawHeader)> bytes{};
  const size_t present = std::min<uint64_t>(image.size(), bytes.size());
  image.read(0, std::span(bytes).first(present));
  for (size_t at = 0; at < kSearched && at + kShortHeader <= present; at += sizeof(le32)) {
    const auto raw = ByteReader(std::span(bytes).subspan(at)).get<RawHeader>();
    if (raw.magic != kHeaderMagic || raw.magic + raw.flags + raw.checksum != 0) continue;
    const MultibootHeader header = parsed(at, raw);
    if (header.has_addresses() && at + sizeof raw > present)
      image.corrupt("its multiboot header is cut off");
    return header;
  }
  return std::nullopt;
}

uint64_t load_multiboot(const Image& image, const MultibootHeader& header, GuestMemory& memory,
                        RamMap& ram) {
  if ((header.flags & kRequirements & ~kKnownRequirements) != 0)
    throw ConfigError(fmt::format("{} asks for multiboot features that do not exist (flags {:#x})",
                                  image.name(), header.flags));
  if (header.has_addresses()) return load_flat(image, header, memory, ram);
  if (!is_elf(image)) image.corrupt("its multiboot header does not say where to load it");
  return load_elf(image, memory, ram);
}

EntryState enter_multiboot(GuestMemory& memory, const MultibootBoot& boot) {
  const std::vector<std::byte> map = memory_map(boot.e820);
  VMM_CHECK(kMemoryMap + map.size() <= EntryArea::kInformationSize,
            "the memory map has a handful of entries");
  const auto start = static_cast<uint32_t>(boot.area.information());
  Information info{.flags = kHasMemory | kHasCommandLine | kHasMemoryMap | kHasLoaderName,
                   .memory_lower = kib_at(boot.e820, 0),
                   .memory_upper = kib_at(boot.e820, layout::kHighRamStart),
                   .command_line = static_cast<uint32_t>(boot.area.command_line()),
                   .memory_map_length = static_cast<uint32_t>(map.size()),
                   .memory_map = start + kMemoryMap,
                   .loader_name = start + kLoaderName};
  Module module{};
  if (boot.initrd) {
    info.flags = info.flags | kHasModules;
    info.module_count = 1U;
    info.modules = start + kModule;
    module = {.start = static_cast<uint32_t>(boot.initrd->start),
              .end = static_cast<uint32_t>(boot.initrd->start + boot.initrd->length),
              .name = start + kNoName};
  }
  if (boot.framebuffer) tell_of(*boot.framebuffer, info);
  const bool written =
      memory.write(start, bytes_of(info)) && memory.write(start + kModule, bytes_of(module)) &&
      memory.write(start + kLoaderName, bytes_of(kName)) && memory.write(start + kMemoryMap, map);
  VMM_CHECK(written, "the area is RAM");

  EntryState state = enter_protected_mode(memory, boot.entry, boot.area);
  state.rax = kBootloaderMagic;
  state.rbx = start;
  return state;
}

}  // namespace vireo
