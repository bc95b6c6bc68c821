#include "devices/scsi/inquiry.h"

#include <algorithm>
#include <span>
#include <string_view>

#include "vmm/base/bytes.h"

namespace vireo::scsi {

namespace {

constexpr std::string_view kVendor = "VIREO   ";  // T10 VENDOR IDENTIFICATION: 8 bytes
constexpr uint8_t kAnsiSpc4 = 6, kResponseFormat = 2, kCommandQueuing = 2, kRemovable = 0x80;

constexpr uint8_t kPageList = 0x00, kPageSerial = 0x80, kPageIdentification = 0x83;
constexpr uint8_t kPageLimits = 0xb0, kPageCharacteristics = 0xb1, kPageProvisioning = 0xb2;

std::string_view product(UnitKind kind) noexcept {
  return kind == UnitKind::disk ? "DISK            " : "CD-ROM          ";
}

std::vector<uint8_t> pages_of(const Identity& unit) {
  std::vector<uint8_t> pages{kPageList};
  if (!unit.serial.empty()) pages.push_back(kPageSerial);
  pages.push_back(kPageIdentification);
  if (unit.kind == UnitKind::disk)
    pages.insert(pages.end(), {kPageLimits, kPageCharacteristics, kPageProvisioning});
  return pages;
}

// 7.8.5: a designator of type T10 vendor ID, in ASCII, of the logical unit.
void put_identification(ByteWriter& out, const Identity& unit) {
  const std::string& own = unit.serial.empty() ? unit.name : unit.serial;
  constexpr uint8_t kAscii = 2, kVendorBased = 1;
  constexpr size_t kMost = 64;
  const auto text = std::string_view(own).substr(0, kMost);
  out.put(kAscii);
  out.put(kVendorBased);
  out.zeros(1);
  out.put(static_cast<uint8_t>(kVendor.size() + text.size()));
  out.put(bytes_of_text(kVendor));
  out.put(bytes_of_text(text));
}

// SBC-3, 6.5.3.
void put_limits(ByteWriter& out, const Provisioning& blocks) {
  constexpr uint8_t kWriteSameNonZero = 1;  // WSNZ: no length of 0
  const uint32_t optimal = blocks.optimal_block / blocks.block;
  out.put(kWriteSameNonZero);
  out.zeros(1);
  out.put(be16(static_cast<uint16_t>(optimal)));
  out.zeros(12);
  out.put(be32(blocks.can_unmap ? kMaxUnmapBytes / blocks.block : 0));
  out.put(be32(blocks.can_unmap ? kMaxUnmapRanges : 0));
  out.put(be32(blocks.can_unmap ? optimal : 0));
  out.zeros(4);
  out.put(be64(kMaxWriteSameBytes / blocks.block));
  out.zeros(20);
}

// 6.5.2: it does not rotate.
void put_characteristics(ByteWriter& out) {
  out.put(be16(1));
  out.zeros(58);
}

// 6.5.4: UNMAP and WRITE SAME of either length unmap. What is read of unmapped blocks is not told.
void put_provisioning(ByteWriter& out, const Provisioning& blocks) {
  constexpr uint8_t kUnmap = 0x80, kWriteSame16 = 0x40, kWriteSame10 = 0x20, kThin = 2;
  out.zeros(1);
  out.put(blocks.can_unmap ? uint8_t{kUnmap | kWriteSame16 | kWriteSame10} : uint8_t{0});
  out.put(blocks.can_unmap ? kThin : uint8_t{0});
  out.zeros(1);
}

void put_page(ByteWriter& out, uint8_t page, const Identity& unit, const Provisioning& blocks) {
  switch (page) {
    case kPageList:
      for (const uint8_t code : pages_of(unit)) out.put(code);
      return;
    case kPageSerial:
      return out.put(bytes_of_text(unit.serial));
    case kPageIdentification:
      return put_identification(out, unit);
    case kPageLimits:
      return put_limits(out, blocks);
    case kPageCharacteristics:
      return put_characteristics(out);
    case kPageProvisioning:
      return put_provisioning(out, blocks);
    default:
      return;
  }
}

}  // namespace

std::vector<std::byte> standard_inquiry(const Identity& unit) {
  constexpr uint8_t kLength = 36;
  ByteWriter out;
  out.put(static_cast<uint8_t>(unit.kind));
  out.put(unit.kind == UnitKind::cdrom ? kRemovable : uint8_t{0});
  out.put(kAnsiSpc4);
  out.put(kResponseFormat);
  out.put(uint8_t{kLength - 5});
  out.zeros(2);
  out.put(kCommandQueuing);
  out.put(bytes_of_text(kVendor));
  out.put(bytes_of_text(product(unit.kind)));
  out.put(bytes_of_text("1   "));
  return out.take();
}

std::optional<std::vector<std::byte>> vital_product_data(uint8_t page, const Identity& unit,
                                                         const Provisioning& blocks) {
  const std::vector<uint8_t> pages = pages_of(unit);
  if (std::find(pages.begin(), pages.end(), page) == pages.end()) return std::nullopt;
  ByteWriter body;
  put_page(body, page, unit, blocks);
  ByteWriter out;
  out.put(static_cast<uint8_t>(unit.kind));
  out.put(page);
  out.put(be16(static_cast<uint16_t>(body.size())));
  out.put(body.bytes());
  return out.take();
}

}  // namespace vireo::scsi
