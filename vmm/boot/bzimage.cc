#include "vmm/boot/bzimage.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cstddef>
#include <span>
#include <string_view>

#include <fmt/core.h>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo {
namespace {

// boot.rst, "The real-mode kernel header", from 0x1f1 on.
struct SetupHeader {
  uint8_t setup_sectors;
  le16 root_flags;
  le32 code_paragraphs;  // size of the protected-mode code in units of 16 bytes
  le16 ram_size, video_mode, root_device, boot_flag;
  uint8_t jump, jump_length;
  le32 magic;
  le16 version;
  le32 realmode_switch;
  le16 start_segment, kernel_version;
  uint8_t loader, load_flags;
  le16 setup_move_size;
  le32 code32_start, ramdisk_address, ramdisk_size, bootsector_fixup;
  le16 heap_end;
  uint8_t extended_loader_version, extended_loader_type;
  le32 command_line_address, initrd_address_max, alignment;
  uint8_t relocatable, minimum_alignment;
  le16 extended_load_flags;
  le32 command_line_size, subarchitecture;
  le64 subarchitecture_data;
  le32 payload_offset, payload_length;
  le64 setup_data, preferred_address;
  le32 init_size, handover_offset, kernel_info_offset;
};
static_assert(sizeof(SetupHeader) == 0x26c - BzImage::kSetupHeader);

constexpr uint32_t kMagic = 0x53726448;  // "HdrS"
constexpr uint16_t kBootFlag = 0xaa55;
constexpr uint64_t kSector = 512;
constexpr uint8_t kLoadedHigh = 1;
constexpr uint16_t kKernel64 = 1;  // XLF_KERNEL_64
constexpr uint8_t kDefaultSetupSectors = 4;
constexpr uint64_t kParagraph = 16;
// Where things were before the header could tell.
constexpr uint64_t kDefaultPreferredAddress = 16 * MiB;

// The header ends where the jump before its magic goes to (boot.rst, "Loading the rest of the
// kernel"), but never reaches the memory map in boot_params.
std::vector<std::byte> raw_header(const Image& image, const SetupHeader& header) {
  const uint64_t end = std::min<uint64_t>(0x202 + header.jump_length, BzImage::kSetupHeaderEnd);
  std::vector<std::byte> raw(end - BzImage::kSetupHeader);
  image.read(BzImage::kSetupHeader, raw);
  return raw;
}

BzImage::Extent code_extent(const Image& image, const SetupHeader& header) {
  const uint64_t sectors = header.setup_sectors == 0 ? kDefaultSetupSectors : header.setup_sectors;
  const uint64_t start = (sectors + 1) * kSector;
  const uint64_t length = header.code_paragraphs * kParagraph;
  // The size is rounded up to paragraphs, the file need not be.
  if (length < kParagraph || !image.contains(start, length - kParagraph + 1))
    throw ConfigError(fmt::format("{} is truncated: its header tells of {} bytes, it has {}",
                                  image.name(), start + length, image.size()));
  const uint64_t present = std::min(length, image.size() - start);
  if (present <= BzImage::kEntry64) image.corrupt("it has no code");
  return {start, present};
}

std::optional<BzImage::Extent> payload_extent(const Image& image, const SetupHeader& header,
                                              const BzImage::Extent& code) {
  if (header.version < 0x208 || header.payload_length == 0U) return std::nullopt;
  const uint64_t offset = header.payload_offset, length = header.payload_length;
  if (offset > code.length || length > code.length - offset)
    image.corrupt("its packed kernel lies outside the file");
  return BzImage::Extent{code.offset + offset, length};
}

// The first word of the text that kernel_version, counted from 0x200, points to. It becomes part of
// paths: one that could lead elsewhere is none.
std::string release_of(const Image& image, const SetupHeader& header) {
  constexpr uint64_t kBase = 0x200, kLongest = 65;  // __NEW_UTS_LEN and its zero
  const uint64_t start = kBase + header.kernel_version;
  if (header.kernel_version == 0 || !image.contains(start, kLongest)) return "";
  std::string text(kLongest, '\0');
  image.read(start, std::as_writable_bytes(std::span(text)));
  text.resize(std::min({text.find(' '), text.find('\0'), text.size()}));
  const auto fits = [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view(".+-_~").find(static_cast<char>(c)) != std::string_view::npos;
  };
  return text.starts_with('.') || !std::ranges::all_of(text, fits) ? "" : text;
}

void check_supported(const Image& image, const SetupHeader& header) {
  if (header.boot_flag != kBootFlag) image.corrupt("its boot flag is wrong");
  if (header.version < 0x206)
    throw ConfigError(
        fmt::format("{} is too old: it speaks boot protocol {}.{:02}, 2.06 is needed (its 16-bit "
                    "entry needs a firmware that this machine does not have)",
                    image.name(), header.version >> 8, header.version & 0xff));
  if ((header.load_flags & kLoadedHigh) == 0)
    throw ConfigError(
        fmt::format("{} is a zImage, entered in 16-bit mode, which needs a firmware (BIOS) that "
                    "this machine does not have",
                    image.name()));
  if (header.relocatable != 0 && !std::has_single_bit<uint32_t>(header.alignment))
    image.corrupt("its alignment is not a power of two");
}

}  // namespace

std::optional<BzImage> parse_bzimage(const Image& image) {
  constexpr uint64_t kMagicOffset = BzImage::kSetupHeader + offsetof(SetupHeader, magic);
  if (!image.contains(kMagicOffset, sizeof(le32)) || image.read<le32>(kMagicOffset) != kMagic)
    return std::nullopt;
  const auto header = image.read<SetupHeader>(BzImage::kSetupHeader);
  check_supported(image, header);

  const BzImage::Extent code = code_extent(image, header);
  const bool tells_address = header.version >= 0x20a;
  return BzImage{
      .setup_header = raw_header(image, header),
      .code = code,
      .payload = payload_extent(image, header, code),
      .has_64bit_entry = header.version >= 0x20c && (header.extended_load_flags & kKernel64) != 0,
      .relocatable = header.relocatable != 0,
      .alignment = header.alignment,
      .preferred_address =
          tells_address ? uint64_t{header.preferred_address} : kDefaultPreferredAddress,
      .init_size = tells_address ? uint32_t{header.init_size} : 0,
      .command_line_size = header.command_line_size,
      .initrd_limit = static_cast<uint64_t>(header.initrd_address_max) + 1,
      .release = release_of(image, header)};
}

}  // namespace vireo
