#include "vmm/boot/acpi.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include <fmt/core.h>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/boot/aml.h"
#include "vmm/memory/layout.h"

namespace vireo {
namespace {

using Bytes = std::vector<std::byte>;
using Kind = AcpiDevice::Kind;

struct GenericAddress {  // 5.2.3.2
  uint8_t space = 0, bits = 0, bit_offset = 0, access = 0;
  le64 address;
};

GenericAddress io_byte(uint64_t port) {
  constexpr uint8_t kSystemIo = 1, kByteAccess = 1;
  return {.space = kSystemIo, .bits = 8, .access = kByteAccess, .address = port};
}

struct Rsdp {  // 5.2.5.3
  std::array<char, 8> signature{'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '};
  uint8_t checksum = 0;
  std::array<char, 6> oem{'V', 'I', 'R', 'E', 'O', ' '};
  uint8_t revision = 2;
  le32 rsdt;
  le32 length{36};
  le64 xsdt;
  uint8_t extended_checksum = 0;
  std::array<uint8_t, 3> reserved{};
};
static_assert(sizeof(Rsdp) == 36);
constexpr size_t kRsdpFirstPart = 20;  // what the first checksum covers

struct Header {  // 5.2.6
  std::array<char, 4> signature;
  le32 length;
  uint8_t revision;
  uint8_t checksum = 0;
  std::array<char, 6> oem{'V', 'I', 'R', 'E', 'O', ' '};
  std::array<char, 8> oem_table{'V', 'I', 'R', 'E', 'O', 'V', 'M', ' '};
  le32 oem_revision{1};
  std::array<char, 4> creator{'V', 'I', 'R', 'E'};
  le32 creator_revision{1};
};
static_assert(sizeof(Header) == 36);

struct Fadt {  // 5.2.9, what follows the header
  le32 facs, dsdt;
  uint8_t reserved0 = 0, profile = 0;
  le16 sci;
  le32 smi_command;
  std::array<uint8_t, 4> smi_values{};
  std::array<le32, 8> fixed_blocks{};
  std::array<uint8_t, 8> fixed_lengths{};
  le16 c2_latency{101}, c3_latency{1001};  // beyond what exists: no such states
  le16 flush_size, flush_stride;
  std::array<uint8_t, 4> duty_and_alarm{};
  uint8_t century = 0;
  le16 boot_architecture;
  uint8_t reserved1 = 0;
  le32 flags;
  GenericAddress reset_register{};
  uint8_t reset_value = 0;
  le16 arm_boot_architecture;
  uint8_t minor_revision = 5;
  le64 x_facs, x_dsdt;
  std::array<GenericAddress, 8> x_fixed_blocks{};
  GenericAddress sleep_control{}, sleep_status{};
  std::array<char, 8> hypervisor{'V', 'I', 'R', 'E', 'O', 0, 0, 0};
};
static_assert(sizeof(Fadt) + sizeof(Header) == 276);

// FADT flags (table 5.10) and boot architecture flags (table 5.11).
constexpr uint32_t kWbinvd = 1 << 0, kC1OnAll = 1 << 2, kNoFixedPowerButton = 1 << 4,
                   kNoFixedSleepButton = 1 << 5, kNoFixedRtc = 1 << 6, kResetRegister = 1 << 10,
                   kHardwareReduced = 1 << 20;
constexpr uint16_t kLegacyDevices = 1 << 0, kHas8042 = 1 << 1, kNoVga = 1 << 2, kNoCmosRtc = 1 << 5;

// MADT entries (5.2.12).
struct Madt {
  le32 local_apic{static_cast<uint32_t>(layout::kLocalApic)};
  le32 flags;  // no 8259
};
struct LocalApic {
  uint8_t type = 0, length = 8;
  uint8_t processor, apic_id;
  le32 flags{1};  // enabled
};
struct LocalX2Apic {
  uint8_t type = 9, length = 16;
  le16 reserved;
  le32 apic_id;
  le32 flags{1};
  le32 processor;
};
struct IoApic {
  uint8_t type = 1, length = 12;
  uint8_t id = 0, reserved = 0;
  le32 address{static_cast<uint32_t>(layout::kIoApic)};
  le32 first_gsi;
};
struct LocalApicNmi {
  uint8_t type = 4, length = 6;
  uint8_t processor = 0xff;  // all
  le16 flags;
  uint8_t lint = 1;
};
static_assert(sizeof(LocalApic) == 8 && sizeof(LocalX2Apic) == 16 && sizeof(IoApic) == 12 &&
              sizeof(LocalApicNmi) == 6);

uint8_t checksum(std::span<const std::byte> bytes) {
  const uint8_t sum =
      std::accumulate(bytes.begin(), bytes.end(), uint8_t{0}, [](uint8_t total, std::byte b) {
        return static_cast<uint8_t>(total + std::to_integer<int>(b));
      });
  return static_cast<uint8_t>(-sum);
}

Bytes table(const char (&signature)[5], uint8_t revision, std::span<const std::byte> body) {
  Header header{.signature = {signature[0], signature[1], signature[2], signature[3]},
                .length = static_cast<uint32_t>(sizeof(Header) + body.size()),
                .revision = revision};
  ByteWriter writer;
  writer.put(header);
  writer.put(body);
  Bytes bytes = writer.take();
  bytes[offsetof(Header, checksum)] = std::byte{checksum(bytes)};
  return bytes;
}

const AcpiDevice* find(std::span<const AcpiDevice> devices, Kind kind) {
  const auto found = std::ranges::find(devices, kind, &AcpiDevice::kind);
  return found == devices.end() ? nullptr : &*found;
}

uint16_t boot_architecture(std::span<const AcpiDevice> devices) {
  uint16_t flags = kNoVga;
  if (find(devices, Kind::serial) != nullptr) flags |= kLegacyDevices;
  if (find(devices, Kind::keyboard) != nullptr) flags |= kHas8042;
  if (find(devices, Kind::rtc) == nullptr) flags |= kNoCmosRtc;
  return flags;
}

Bytes fadt(const AcpiPlatform& platform, uint64_t dsdt) {
  uint32_t flags = kWbinvd | kC1OnAll | kNoFixedPowerButton | kNoFixedSleepButton | kNoFixedRtc |
                   kHardwareReduced;
  Fadt body{.boot_architecture = boot_architecture(platform.devices), .x_dsdt = dsdt};
  if (const AcpiDevice* power = find(platform.devices, Kind::power)) {
    flags |= kResetRegister;
    body.sleep_control = io_byte(power->address);
    body.sleep_status = io_byte(power->address + 1);
    body.reset_register = io_byte(power->address + 2);
    body.reset_value = 1;
  }
  body.flags = flags;
  return table("FACP", 6, bytes_of(body));
}

// Interrupts need no overrides: every ISA one is at the input of its own number, edge-triggered and
// active high, which is what they are without.
Bytes madt(const AcpiPlatform& platform) {
  constexpr uint32_t kFirstX2Apic = 255;  // of identifiers an 8-bit entry cannot carry
  ByteWriter body;
  body.put(Madt{});
  for (uint32_t processor = 0; processor < platform.apic_ids.size(); ++processor) {
    const uint32_t id = platform.apic_ids[processor];
    if (id < kFirstX2Apic && processor < kFirstX2Apic)
      body.put(LocalApic{.processor = static_cast<uint8_t>(processor),
                         .apic_id = static_cast<uint8_t>(id)});
    else
      body.put(LocalX2Apic{.apic_id = id, .processor = processor});
  }
  body.put(IoApic{});
  body.put(LocalApicNmi{});
  return table("APIC", 5, body.bytes());
}

// What the devices of a kind are called: "COM1", "V00A".
std::string device_name(Kind kind, size_t index) {
  switch (kind) {
    case Kind::virtio_mmio:
      return fmt::format("V{:03X}", index);
    case Kind::serial:
      return fmt::format("COM{:X}", index + 1);
    case Kind::rtc:
      return "RTC";
    case Kind::keyboard:
      return "KBD";
    case Kind::mouse:
      return "MOU";
    case Kind::power:
      return "PWRB";
  }
  VMM_CHECK(false, "every kind of device has a name");
}

Bytes simple_device(const AcpiDevice& device, size_t index, const Bytes& hid,
                    const Bytes& resources) {
  return aml::device(device_name(device.kind, index),
                     {aml::name("_HID", hid), aml::name("_UID", aml::integer(index)),
                      aml::name("_CRS", resources)});
}

// The button itself, and the device that tells of it (5.6.9, 9.18.1).
Bytes power_devices(const AcpiDevice& device, size_t index) {
  constexpr uint64_t kPressed = 0x80;
  const std::string button = device_name(device.kind, index);
  return aml::concat(
      {aml::device(button, {aml::name("_HID", aml::eisa_id("PNP0C0C")),
                            aml::name("_UID", aml::integer(index))}),
       aml::device(
           "GED",
           {aml::name("_HID", aml::string("ACPI0013")), aml::name("_UID", aml::integer(index)),
            aml::name("_CRS", aml::resources({aml::interrupt(device.gsi)})),
            aml::io_region("EREG", static_cast<uint16_t>(device.address + 3), 1),
            aml::byte_field("EREG", "EVNT"),
            aml::serialized_method("_EVT", 1,
                                   {aml::store(aml::path("EVNT"), aml::local0()),
                                    aml::if_then(aml::bit_and(aml::local0(), aml::integer(1)),
                                                 {aml::notify(button, kPressed)})})})});
}

Bytes device_terms(const AcpiDevice& device, size_t index) {
  const auto port = static_cast<uint16_t>(device.address);
  const auto irq = static_cast<uint8_t>(device.gsi);
  switch (device.kind) {
    case Kind::virtio_mmio:
      return simple_device(device, index, aml::string("LNRO0005"),
                           aml::resources({aml::memory32(static_cast<uint32_t>(device.address),
                                                         static_cast<uint32_t>(device.length)),
                                           aml::interrupt(device.gsi)}));
    case Kind::serial:
      return simple_device(device, index, aml::eisa_id("PNP0501"),
                           aml::resources({aml::io_ports(port, 8), aml::isa_irq(irq)}));
    case Kind::rtc:
      return simple_device(device, index, aml::eisa_id("PNP0B00"),
                           aml::resources({aml::io_ports(port, 2), aml::isa_irq(irq)}));
    case Kind::keyboard:
      return simple_device(
          device, index, aml::eisa_id("PNP0303"),
          aml::resources({aml::io_ports(layout::kPortI8042Data, 1),
                          aml::io_ports(layout::kPortI8042Command, 1), aml::isa_irq(irq)}));
    case Kind::mouse:  // shares the keyboard's ports
      return simple_device(device, index, aml::eisa_id("PNP0F13"),
                           aml::resources({aml::isa_irq(irq)}));
    case Kind::power:
      return power_devices(device, index);
  }
  VMM_CHECK(false, "every kind of device has its terms");
}

Bytes processor(uint32_t number) {
  return aml::device(fmt::format("C{:03X}", number), {aml::name("_HID", aml::string("ACPI0007")),
                                                      aml::name("_UID", aml::integer(number))});
}

Bytes dsdt(const AcpiPlatform& platform) {
  VMM_CHECK(platform.apic_ids.size() <= 0x1000, "processor names have three digits");
  std::vector<Bytes> terms;
  for (uint32_t i = 0; i < platform.apic_ids.size(); ++i) terms.push_back(processor(i));
  std::array<size_t, 6> counts{};
  for (const AcpiDevice& device : platform.devices)
    terms.push_back(device_terms(device, counts.at(static_cast<size_t>(device.kind))++));

  Bytes body = aml::scope("\\_SB", terms);
  if (find(platform.devices, Kind::power) != nullptr) {
    constexpr uint64_t kSleepType = 5;  // what the power device takes for "off"
    const Bytes zero = aml::integer(0);
    body = aml::concat(
        {body, aml::name("\\_S5", aml::package({aml::integer(kSleepType), zero, zero, zero}))});
  }
  return table("DSDT", 2, body);
}

Bytes xsdt(std::initializer_list<uint64_t> addresses) {
  ByteWriter body;
  for (const uint64_t address : addresses) body.put(le64(address));
  return table("XSDT", 1, body.bytes());
}

Bytes rsdp(uint64_t xsdt_address) {
  Rsdp rsdp{.xsdt = xsdt_address};
  rsdp.checksum = checksum(bytes_of(rsdp).first(kRsdpFirstPart));
  rsdp.extended_checksum = checksum(bytes_of(rsdp));
  const auto bytes = bytes_of(rsdp);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

std::vector<AcpiTable> make_acpi_tables(const AcpiPlatform& platform, uint64_t base) {
  constexpr uint64_t kAlignment = 16;
  std::vector<AcpiTable> tables;
  uint64_t next = base + (sizeof(Rsdp) + kAlignment - 1) / kAlignment * kAlignment;
  const auto place = [&](std::string signature, Bytes bytes) {
    const uint64_t address = next;
    next = (address + bytes.size() + kAlignment - 1) / kAlignment * kAlignment;
    tables.push_back({address, std::move(signature), std::move(bytes)});
    return address;
  };
  const uint64_t dsdt_address = place("DSDT", dsdt(platform));
  const uint64_t fadt_address = place("FACP", fadt(platform, dsdt_address));
  const uint64_t madt_address = place("APIC", madt(platform));
  const uint64_t xsdt_address = place("XSDT", xsdt({fadt_address, madt_address}));
  tables.insert(tables.begin(), {base, "RSDP", rsdp(xsdt_address)});
  return tables;
}

uint64_t write_acpi_tables(GuestMemory& memory, const AcpiPlatform& platform) {
  for (const AcpiTable& item : make_acpi_tables(platform, layout::kAcpiTables)) {
    if (item.address + item.bytes.size() > layout::kResetVector)
      throw ConfigError(fmt::format(
          "the firmware tables of a machine with {} processors and {} devices do not fit below "
          "1 MiB: take fewer",
          platform.apic_ids.size(), platform.devices.size()));
    VMM_CHECK(memory.write(item.address, item.bytes), "the first MiB is always RAM");
  }
  return layout::kAcpiTables;
}

}  // namespace vireo
