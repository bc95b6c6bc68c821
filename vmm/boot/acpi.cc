#include "vmm/boot/acpi.h"

#include <array>
#include <cstring>
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
using Piece = AcpiTables::Piece;

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

// FADT flags (table 5.10).
constexpr uint32_t kWbinvd = 1 << 0, kC1OnAll = 1 << 2, kNoFixedPowerButton = 1 << 4,
                   kNoFixedSleepButton = 1 << 5, kNoFixedRtc = 1 << 6, kResetRegister = 1 << 10,
                   kHardwareReduced = 1 << 20;

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

// With a checksum of 0, which place() fills in.
Bytes table(const char (&signature)[5], uint8_t revision, std::span<const std::byte> body) {
  Header header{.signature = {signature[0], signature[1], signature[2], signature[3]},
                .length = static_cast<uint32_t>(sizeof(Header) + body.size()),
                .revision = revision};
  ByteWriter writer;
  writer.put(header);
  writer.put(body);
  return writer.take();
}

// Both addresses of the DSDT: SeaBIOS looks for virtio devices by the 32-bit one.
Bytes fadt(const AcpiNamespace& names, uint32_t dsdt) {
  uint32_t flags = kWbinvd | kC1OnAll | kNoFixedPowerButton | kNoFixedSleepButton | kNoFixedRtc |
                   kHardwareReduced;
  Fadt body{.dsdt = dsdt, .boot_architecture = names.boot_flags(), .x_dsdt = dsdt};
  if (const auto& power = names.power()) {
    flags |= kResetRegister;
    body.sleep_control = io_byte(power->sleep_control);
    body.sleep_status = io_byte(power->sleep_status);
    body.reset_register = io_byte(power->reset);
    body.reset_value = power->reset_value;
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

Bytes processor(uint32_t number) {
  return aml::device(fmt::format("C{:03X}", number), {aml::name("_HID", aml::string("ACPI0007")),
                                                      aml::name("_UID", aml::integer(number))});
}

Bytes dsdt(const AcpiPlatform& platform) {
  VMM_CHECK(platform.apic_ids.size() <= 0x1000, "processor names have three digits");
  std::vector<Bytes> terms;
  for (uint32_t i = 0; i < platform.apic_ids.size(); ++i) terms.push_back(processor(i));
  for (const AcpiDevice& device : platform.names.devices()) terms.push_back(aml_of(device));
  Bytes body = aml::scope("\\_SB", terms);
  if (const auto& power = platform.names.power()) {
    const Bytes zero = aml::integer(0);
    body = aml::concat({body, aml::name("\\_S5", aml::package({aml::integer(power->sleep_type_off),
                                                               zero, zero, zero}))});
  }
  return table("DSDT", 2, body);
}

Bytes xsdt(std::initializer_list<uint64_t> addresses) {
  ByteWriter body;
  for (const uint64_t address : addresses) body.put(le64(address));
  return table("XSDT", 1, body.bytes());
}

// Puts tables behind one another and notes what depends on their place.
class Builder {
 public:
  // Its offset.
  uint32_t add(const Bytes& bytes) {
    Bytes& all = result_.tables;
    all.resize((all.size() + kAlignment - 1) / kAlignment * kAlignment);
    const auto offset = static_cast<uint32_t>(all.size());
    all.insert(all.end(), bytes.begin(), bytes.end());
    result_.checksums.push_back(
        {.offset = offset + static_cast<uint32_t>(offsetof(Header, checksum)),
         .start = offset,
         .length = static_cast<uint32_t>(bytes.size())});
    return offset;
  }
  void add_pointer(uint32_t offset, uint32_t size = 8) {
    result_.pointers.push_back({.offset = offset, .size = size});
  }
  AcpiTables finish(uint32_t xsdt);

 private:
  static constexpr size_t kAlignment = 16;
  AcpiTables result_;
};

AcpiTables Builder::finish(uint32_t xsdt) {
  const Rsdp rsdp{.xsdt = xsdt};
  const auto bytes = bytes_of(rsdp);
  result_.rsdp.assign(bytes.begin(), bytes.end());
  result_.pointers.push_back({Piece::rsdp, offsetof(Rsdp, xsdt), 8});
  result_.checksums.push_back({Piece::rsdp, offsetof(Rsdp, checksum), 0, kRsdpFirstPart});
  result_.checksums.push_back({Piece::rsdp, offsetof(Rsdp, extended_checksum), 0, sizeof(Rsdp)});
  return std::move(result_);
}

std::byte checksum(std::span<const std::byte> bytes) {
  const auto add = [](uint8_t sum, std::byte byte) {
    return static_cast<uint8_t>(sum + std::to_integer<int>(byte));
  };
  return std::byte{
      static_cast<uint8_t>(-std::accumulate(bytes.begin(), bytes.end(), uint8_t{0}, add))};
}

void add_address(std::span<std::byte> field, uint64_t address) {
  uint64_t value = 0;
  std::memcpy(&value, field.data(), field.size());
  value += address;
  std::memcpy(field.data(), &value, field.size());
}

}  // namespace

AcpiTables make_acpi_tables(const AcpiPlatform& platform) {
  constexpr uint32_t kDsdt = sizeof(Header) + offsetof(Fadt, dsdt);
  constexpr uint32_t kXDsdt = sizeof(Header) + offsetof(Fadt, x_dsdt);
  Builder builder;
  const uint32_t dsdt_offset = builder.add(dsdt(platform));
  const uint32_t fadt_offset = builder.add(fadt(platform.names, dsdt_offset));
  builder.add_pointer(fadt_offset + kDsdt, 4);
  builder.add_pointer(fadt_offset + kXDsdt);
  const uint32_t madt_offset = builder.add(madt(platform));
  const uint32_t xsdt_offset = builder.add(xsdt({fadt_offset, madt_offset}));
  for (const uint32_t entry : {0U, 1U})
    builder.add_pointer(xsdt_offset + static_cast<uint32_t>(sizeof(Header) + entry * sizeof(le64)));
  return builder.finish(xsdt_offset);
}

void place(AcpiTables& tables, uint64_t rsdp, uint64_t address) {
  VMM_CHECK(rsdp % 16 == 0 && address % 16 == 0, "tables are aligned");
  const auto piece = [&](Piece which) {
    return std::span(which == Piece::rsdp ? tables.rsdp : tables.tables);
  };
  for (const AcpiTables::Pointer& pointer : tables.pointers)
    add_address(piece(pointer.piece).subspan(pointer.offset, pointer.size), address);
  for (const AcpiTables::Checksum& sum : tables.checksums) {
    const std::span<std::byte> bytes = piece(sum.piece);
    bytes[sum.offset] = checksum(bytes.subspan(sum.start, sum.length));
  }
}

uint64_t write_acpi_tables(GuestMemory& memory, const AcpiPlatform& platform) {
  constexpr uint64_t kRsdp = layout::kAcpiTables, kTables = kRsdp + 0x30;
  AcpiTables tables = make_acpi_tables(platform);
  place(tables, kRsdp, kTables);
  if (kTables + tables.tables.size() > layout::kSmbios)
    throw ConfigError(fmt::format(
        "the firmware tables of a machine with {} processors and {} devices do not fit into "
        "64 KiB: take fewer",
        platform.apic_ids.size(), platform.names.devices().size()));
  VMM_CHECK(memory.write(kRsdp, tables.rsdp) && memory.write(kTables, tables.tables),
            "the first MiB is always RAM");
  return kRsdp;
}

}  // namespace vireo
