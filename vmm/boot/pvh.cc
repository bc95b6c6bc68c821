#include "vmm/boot/pvh.h"

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"

namespace vireo {
namespace {

struct StartInfo {
  le32 magic{0x336ec578};
  le32 version{1};
  le32 flags{};
  le32 module_count;
  le64 modules, command_line, rsdp, memory_map;
  le32 memory_map_count;
  le32 reserved;
};
static_assert(sizeof(StartInfo) == 56);

struct Module {
  le64 address, size, command_line, reserved;
};

struct MemoryMapEntry {
  le64 address, size;
  le32 type, reserved;
};

// From the start of the start info.
constexpr uint64_t kModule = 0x40;
constexpr uint64_t kMemoryMap = 0x80;
constexpr size_t kMaxEntries = (EntryArea::kInformationSize - kMemoryMap) / sizeof(MemoryMapEntry);

}  // namespace

EntryState enter_pvh(GuestMemory& memory, const PvhBoot& boot) {
  VMM_CHECK(boot.e820.size() <= kMaxEntries, "the memory map has a handful of entries");
  ByteWriter map;
  for (const E820Entry& entry : boot.e820)
    map.put(MemoryMapEntry{
        .address = entry.address, .size = entry.length, .type = static_cast<uint32_t>(entry.type)});

  const uint64_t start = boot.area.information();
  StartInfo info{.command_line = boot.area.command_line(),
                 .rsdp = boot.acpi_rsdp,
                 .memory_map = start + kMemoryMap,
                 .memory_map_count = static_cast<uint32_t>(boot.e820.size())};
  Module module{};
  if (boot.initrd) {
    info.module_count = 1U;
    info.modules = start + kModule;
    module = {.address = boot.initrd->start, .size = boot.initrd->length};
  }
  const bool written = memory.write(start, bytes_of(info)) &&
                       memory.write(start + kModule, bytes_of(module)) &&
                       memory.write(start + kMemoryMap, map.bytes());
  VMM_CHECK(written, "the area is RAM");

  EntryState state = enter_protected_mode(memory, boot.entry, boot.area);
  state.rbx = start;
  return state;
}

}  // namespace vireo
