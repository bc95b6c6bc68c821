#include "devices/pc/firmware.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "devices/firmware/acpi_files.h"
#include "devices/firmware/ramfb.h"
#include "vmm/boot/acpi.h"
#include "vmm/boot/ram_map.h"
#include "vmm/memory/layout.h"

namespace vireo::pc {

namespace {

using dev::FwCfgItems;

template <class T>
FwCfgItems::Bytes integer(T value) {
  const vireo::Le<T> little(value);
  const auto bytes = bytes_of(little);
  return {bytes.begin(), bytes.end()};
}

FwCfgItems::Bytes text(const std::string& value) {
  const auto bytes = bytes_of_text(value);
  return {bytes.begin(), bytes.end()};
}

// The RAM alone: a BIOS knows by itself what of the first MiB is not free.
FwCfgItems::Bytes e820(const GuestMemory& memory) {
  ByteWriter out;
  for (const GuestMemory::Region& region : memory.regions()) {
    out.put(le64(region.start));
    out.put(le64(region.bytes.size()));
    out.put(le32(static_cast<uint32_t>(E820Entry::Type::ram)));
  }
  return out.take();
}

AcpiTables tables_of(const Platform& platform, uint32_t vcpus) {
  std::vector<uint32_t> apic_ids(vcpus);
  std::iota(apic_ids.begin(), apic_ids.end(), 0);
  return make_acpi_tables({.apic_ids = apic_ids, .names = platform.acpi});
}

// A little-endian number in registers that follow one another.
void put(dev::Mc146818::State& state, uint8_t first, int count, uint64_t value) {
  const uint64_t most = (uint64_t{1} << (8 * count)) - 1;
  value = std::min(value, most);
  for (uint8_t at = first; at < first + count; ++at, value >>= 8)
    state.ram[at] = static_cast<uint8_t>(value);
}

// A digit for each kind, the first the lowest (SeaBIOS, src/boot.c, boot_init()).
uint64_t boot_sequence(const std::string& order) {
  constexpr uint64_t kDisk = 2, kCd = 3;
  uint64_t sequence = 0;
  for (size_t i = 0; i < order.size(); ++i)
    sequence |= (order[i] == BootDevice::disk ? kDisk : kCd) << (4 * i);
  return sequence;
}

uint64_t beyond(uint64_t end, uint64_t start) {
  return end > start ? end - start : 0;
}

}  // namespace

// SeaBIOS, docs/Runtime_config.md.
FwCfgItems firmware_items(const Platform& platform, const FirmwareInfo& info, bool first) {
  constexpr uint32_t kNever = 0xffffffff, kSoon = 1000;  // ms
  FwCfgItems items;
  items.set(FwCfgItems::kCpus, integer(static_cast<uint16_t>(info.vcpus)));
  items.set(FwCfgItems::kMaxCpus, integer(static_cast<uint16_t>(info.vcpus)));
  items.set(FwCfgItems::kBootMenu, integer(static_cast<uint16_t>(info.boot.menu)));
  items.add_file("etc/e820", e820(platform.memory));
  add_acpi_files(items, tables_of(platform, info.vcpus));
  items.add_file("etc/smbios/smbios-anchor", info.smbios.anchor);
  items.add_file("etc/smbios/smbios-tables", info.smbios.tables);
  items.add_file("bootorder", text(boot_order(info.boot, info.devices, first)));
  items.add_file("etc/boot-menu-wait", integer(uint32_t{info.boot.menu_wait}));
  items.add_file("etc/boot-fail-wait", integer(info.gives_up ? kSoon : kNever));
  if (info.set_ramfb) items.add_writable("etc/ramfb", dev::Ramfb::kFile, info.set_ramfb);
  if (!info.vga_rom.empty()) items.add_file("vgaroms/vgabios-ramfb.bin", info.vga_rom);
  items.add_file("etc/sercon-port", integer(layout::kPortCom1));
  return items;
}

// The registers as IBM and later makers of PCs have used them (Ralf Brown's list, CMOS memory map).
dev::Mc146818::State cmos_of(const GuestMemory& memory, uint32_t vcpus, const BootSpec& boot) {
  constexpr uint8_t kBase = 0x15, kExtended = 0x17, kExtendedActual = 0x30, kAbove16MiB = 0x34,
                    kBootSequence = 0x3d, kAbove4GiB = 0x5b, kMoreProcessors = 0x5f;
  const uint64_t size = memory.size(), low = std::min(size, layout::kRamGapStart);
  dev::Mc146818::State state;
  put(state, kBase, 2, 640);
  put(state, kExtended, 2, beyond(low, MiB) / KiB);
  put(state, kExtendedActual, 2, beyond(low, MiB) / KiB);
  put(state, kAbove16MiB, 2, beyond(low, 16 * MiB) / (64 * KiB));
  put(state, kAbove4GiB, 3, beyond(size, layout::kRamGapStart) / (64 * KiB));
  put(state, kMoreProcessors, 1, vcpus - 1);
  put(state, kBootSequence, 1, boot_sequence(boot.order));
  return state;
}

}  // namespace vireo::pc
