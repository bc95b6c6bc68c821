#include "vmm/boot/smbios.h"

#include <algorithm>
#include <span>
#include <utility>

#include <fmt/core.h>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo {

namespace {

enum Type : uint8_t {
  kBios = 0,
  kSystem = 1,
  kBoard = 2,
  kChassis = 3,
  kProcessor = 4,
  kOemStrings = 11,
  kMemoryArray = 16,
  kMemoryDevice = 17,
  kMappedAddress = 19,
  kBootStatus = 32,
  kEnd = 127,
};

// 5.2.1, table 1.
struct Anchor {
  std::array<char, 4> name{'_', 'S', 'M', '_'};
  uint8_t checksum = 0;
  uint8_t length = sizeof(Anchor);
  uint8_t major = 2, minor = 8;
  le16 most_of_structure;
  uint8_t revision = 0;
  std::array<uint8_t, 5> reserved{};
  std::array<char, 5> dmi_name{'_', 'D', 'M', 'I', '_'};
  uint8_t dmi_checksum = 0;
  le16 tables_length;
  le32 tables_address;
  le16 structures;
  uint8_t bcd_revision = 0x28;
};
static_assert(sizeof(Anchor) == 31);

uint8_t checksum(std::span<const std::byte> bytes) {
  uint8_t sum = 0;
  for (const std::byte byte : bytes) sum = static_cast<uint8_t>(sum + std::to_integer<int>(byte));
  return static_cast<uint8_t>(-sum);
}

void seal(Anchor& anchor, uint64_t address) {
  anchor.checksum = anchor.dmi_checksum = 0;
  anchor.tables_address = static_cast<uint32_t>(address);
  anchor.dmi_checksum = checksum(bytes_of(anchor).subspan(offsetof(Anchor, dmi_name)));
  anchor.checksum = checksum(bytes_of(anchor));
}

// A count of texts, with no numbers of them.
struct Counted {
  const std::vector<std::string>& texts;
};

// One structure (6.1): its fields, of which texts are numbers, and then the texts themselves.
class Structure {
 public:
  Structure(Type type, uint16_t handle) : type_(type), handle_(handle) {}

  template <class... Fields>
  Structure& add(const Fields&... fields) {
    (put(fields), ...);
    return *this;
  }
  std::vector<std::byte> take();

 private:
  template <class T>
  void put(const T& field) {
    fields_.put(field);
  }
  void put(const std::string& text);
  void put(const Counted& counted);
  void append(const std::string& text);

  const Type type_;
  const uint16_t handle_;
  ByteWriter fields_, texts_;
  uint8_t count_ = 0;  // of texts
};

void Structure::put(const std::string& text) {
  fields_.put(text.empty() ? uint8_t{0} : ++count_);
  if (!text.empty()) append(text);
}

void Structure::put(const Counted& counted) {
  fields_.put(static_cast<uint8_t>(counted.texts.size()));
  for (const std::string& text : counted.texts) append(text);
}

void Structure::append(const std::string& text) {
  texts_.put(bytes_of_text(text));
  texts_.zeros(1);
}

std::vector<std::byte> Structure::take() {
  constexpr size_t kHeader = 4;
  const auto fields = fields_.take(), texts = texts_.take();
  ByteWriter out;
  out.put(uint8_t{type_});
  out.put(static_cast<uint8_t>(kHeader + fields.size()));
  out.put(le16(handle_));
  out.put(fields);
  out.put(texts);
  out.zeros(texts.empty() ? 2 : 1);
  return out.take();
}

class Builder {
 public:
  // The handle of the structure, whose fields follow in the order of the specification.
  template <class... Fields>
  uint16_t add(Type type, const Fields&... fields) {
    const auto handle = count_++;
    const auto bytes = Structure(type, handle).add(fields...).take();
    largest_ = std::max(largest_, bytes.size());
    out_.put(bytes);
    return handle;
  }
  SmbiosTables take();

 private:
  ByteWriter out_;
  uint16_t count_ = 0;
  size_t largest_ = 0;
};

SmbiosTables Builder::take() {
  auto tables = out_.take();
  if (tables.size() > kMostOfSmbios)
    throw ConfigError(
        fmt::format("--smbios: {} bytes of texts and structures are too many: there is room for {}",
                    tables.size(), kMostOfSmbios));
  Anchor anchor{.most_of_structure = static_cast<uint16_t>(largest_),
                .tables_length = static_cast<uint16_t>(tables.size()),
                .structures = count_};
  seal(anchor, 0);
  const auto bytes = bytes_of(anchor);
  return {{bytes.begin(), bytes.end()}, std::move(tables)};
}

// The first three fields are little-endian (7.2.1).
SmbiosInfo::Uuid in_table_order(SmbiosInfo::Uuid uuid) {
  std::reverse(uuid.begin(), uuid.begin() + 4);
  std::reverse(uuid.begin() + 4, uuid.begin() + 6);
  std::reverse(uuid.begin() + 6, uuid.begin() + 8);
  return uuid;
}

void add_bios(Builder& builder, const SmbiosInfo::Bios& bios) {
  constexpr uint16_t kSegment = 0xf000;
  constexpr uint64_t kNoCharacteristics = 1 << 3;
  constexpr uint16_t kVirtualMachine = 1 << 12;  // of the second extension byte, bit 4
  constexpr uint32_t kNoReleases = ~0U;
  builder.add(kBios, bios.vendor, bios.version, le16(kSegment), bios.date, uint8_t{0},
              le64(kNoCharacteristics), le16(kVirtualMachine), le32(kNoReleases));
}

void add_system(Builder& builder, const SmbiosInfo& info) {
  constexpr uint8_t kPowerSwitch = 6;
  const SmbiosInfo::System& system = info.system;
  builder.add(kSystem, system.manufacturer, system.product, system.version, system.serial,
              in_table_order(info.uuid), kPowerSwitch, system.sku, system.family);
}

void add_board(Builder& builder, const SmbiosInfo::Board& board, uint16_t chassis) {
  constexpr uint8_t kHosting = 1, kMotherboard = 10, kNoChildren = 0;
  if (board == SmbiosInfo::Board()) return;
  builder.add(kBoard, board.manufacturer, board.product, board.version, board.serial, board.asset,
              kHosting, board.location, le16(chassis), kMotherboard, kNoChildren);
}

uint16_t add_chassis(Builder& builder, const SmbiosInfo::Chassis& chassis) {
  constexpr uint8_t kOther = 1, kSafe = 3, kUnknown = 2;
  constexpr std::array<uint8_t, 8> kNoOemHeightCordsOrChildren{};
  return builder.add(kChassis, chassis.manufacturer, kOther, chassis.version, chassis.serial,
                     chassis.asset, kSafe, kSafe, kSafe, kUnknown, kNoOemHeightCordsOrChildren,
                     chassis.sku);
}

void add_processor(Builder& builder, uint32_t vcpus) {
  constexpr uint8_t kCentral = 3, kOther = 1, kPopulatedAndEnabled = 0x41;
  constexpr std::array<uint8_t, 7> kNoVoltageOrSpeeds{};
  constexpr uint16_t kNoCache = 0xffff, kUnknown = 2;
  const std::string none;
  const auto cores = static_cast<uint8_t>(vcpus);
  builder.add(kProcessor, std::string("CPU 0"), kCentral, kOther, none, le64(0), none,
              kNoVoltageOrSpeeds, kPopulatedAndEnabled, kOther, le16(kNoCache), le16(kNoCache),
              le16(kNoCache), none, none, none, cores, cores, cores, le16(kUnknown), le16(kOther));
}

// One module, and where its bytes are.
void add_memory(Builder& builder, const GuestMemory& memory) {
  constexpr uint8_t kOther = 1, kSystemMemory = 3, kNoCorrection = 3, kDimm = 9, kRam = 7;
  constexpr uint16_t kNoErrors = 0xfffe, kUnknownWidth = 0xffff, kExtended = 0x7fff,
                     kOtherDetail = 1 << 1;
  constexpr uint32_t kExtendedCapacity = 0x80000000, kExtendedAddress = ~0U;
  const std::string none;
  const auto mib = static_cast<uint32_t>(memory.size() / MiB);
  const uint16_t array =
      builder.add(kMemoryArray, kOther, kSystemMemory, kNoCorrection, le32(kExtendedCapacity),
                  le16(kNoErrors), le16(1), le64(memory.size()));
  builder.add(kMemoryDevice, le16(array), le16(kNoErrors), le16(kUnknownWidth), le16(kUnknownWidth),
              le16(static_cast<uint16_t>(std::min<uint32_t>(mib, kExtended))), kDimm, uint8_t{0},
              std::string("DIMM 0"), none, kRam, le16(kOtherDetail), le16(0), none, none, none,
              none, uint8_t{0}, le32(mib), le16(0), le16(0), le16(0), le16(0));
  for (const GuestMemory::Region& region : memory.regions())
    builder.add(kMappedAddress, le32(kExtendedAddress), le32(kExtendedAddress), le16(array),
                uint8_t{1}, le64(region.start), le64(region.start + region.bytes.size() - 1));
}

}  // namespace

SmbiosTables make_smbios_tables(const SmbiosInfo& info, const GuestMemory& memory, uint32_t vcpus) {
  constexpr std::array<uint8_t, 7> kNoErrors{};
  Builder builder;
  add_bios(builder, info.bios);
  add_system(builder, info);
  add_board(builder, info.board, add_chassis(builder, info.chassis));
  add_processor(builder, vcpus);
  if (!info.oem_strings.empty()) builder.add(kOemStrings, Counted{info.oem_strings});
  add_memory(builder, memory);
  builder.add(kBootStatus, kNoErrors);
  builder.add(kEnd);
  return builder.take();
}

void write_smbios_tables(GuestMemory& memory, SmbiosTables tables) {
  const uint64_t address = layout::kSmbios + (tables.anchor.size() + 15) / 16 * 16;
  Anchor anchor;
  std::ranges::copy(tables.anchor, writable_bytes_of(anchor).begin());
  seal(anchor, address);
  VMM_CHECK(memory.write(layout::kSmbios, anchor) && memory.write(address, tables.tables),
            "the first MiB is always RAM");
}

}  // namespace vireo
