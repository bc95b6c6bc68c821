#include "vmm/boot/boot_params.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/boot/bzimage.h"
#include "vmm/memory/layout.h"

namespace vireo {
namespace {

// Offsets in boot_params (zero-page.rst) and, from 0x1f1 on, in the setup header (boot.rst).
enum Offset : size_t {
  kAcpiRsdp = 0x070,
  kExtRamdiskAddress = 0x0c0,
  kExtRamdiskSize = 0x0c4,
  kExtCommandLine = 0x0c8,
  kE820Count = 0x1e8,
  kBootFlag = 0x1fe,
  kMagic = 0x202,
  kVersion = 0x206,
  kLoader = 0x210,
  kLoadFlags = 0x211,
  kRamdiskAddress = 0x218,
  kRamdiskSize = 0x21c,
  kCommandLineAddress = 0x228,
  kInitrdAddressMax = 0x22c,
  kAlignment = 0x230,
  kCommandLineSize = 0x238,
  kSetupData = 0x250,
  kE820Table = 0x2d0,
};
constexpr size_t kE820Max = 128;
constexpr uint8_t kLoadedHigh = 1, kKaslr = 2, kCanUseHeap = 0x80;
constexpr uint8_t kUnknownLoader = 0xff;

// struct screen_info, at the start of the page (Linux, include/uapi/linux/screen_info.h), with what
// a linear framebuffer needs. Its kind is the one that firmware of the UEFI kind leaves: the driver
// for it (efifb) is built into all kernels of distributions, needs nothing else of UEFI, and comes
// up where simpledrm takes both kinds, too; vesafb's is missing in kernels made for clouds.
struct ScreenInfo {
  std::array<uint8_t, 15> text_mode{};  // all zero: there is none
  uint8_t kind = 0x70;                  // VIDEO_TYPE_EFI
  le16 character_height{};
  le16 width, height, depth;
  le32 base, size;  // bytes
  std::array<uint8_t, 4> command_line{};
  le16 line_length;
  struct Field {
    uint8_t size, position;  // bits
  };
  Field red{8, 16}, green{8, 8}, blue{8, 0}, reserved{8, 24};
  std::array<uint8_t, 4> vesa_power{};
  le16 pages{1};
  le16 vesa_attributes{};
  le32 capabilities{};
  le32 base_high{};
  std::array<uint8_t, 2> rest{};
};
static_assert(sizeof(ScreenInfo) == 0x40);

struct RawE820 {
  le64 address, length;
  le32 type;
};
static_assert(sizeof(RawE820) == 20);

template <Wire T>
void put(ZeroPage& page, size_t offset, const T& value) {
  std::memcpy(page.data() + offset, &value, sizeof value);
}

// What a vmlinux without a setup header would have said.
void make_setup_header(ZeroPage& page) {
  put(page, kBootFlag, le16(0xaa55));
  put(page, kMagic, le32(0x53726448));
  put(page, kVersion, le16(0x20f));
  put(page, kInitrdAddressMax, le32(0x7fffffff));
  put(page, kAlignment, le32(2 * MiB));
  put(page, kCommandLineSize, le32(2047));
}

void put_screen(ZeroPage& page, const LinearFramebuffer& screen) {
  put(page, 0,
      ScreenInfo{.width = screen.width,
                 .height = screen.height,
                 .depth = 8 * LinearFramebuffer::kPixel,
                 .base = static_cast<uint32_t>(screen.address),
                 .size = screen.size(),
                 .line_length = static_cast<uint16_t>(screen.stride())});
}

void put_split(ZeroPage& page, size_t low, size_t high, uint64_t value) {
  put(page, low, le32(static_cast<uint32_t>(value)));
  put(page, high, le32(static_cast<uint32_t>(value >> 32)));
}

void put_e820(ZeroPage& page, std::span<const E820Entry> e820) {
  VMM_CHECK(e820.size() <= kE820Max, "the memory map has a handful of entries");
  put(page, kE820Count, static_cast<uint8_t>(e820.size()));
  for (size_t i = 0; i < e820.size(); ++i)
    put(page, kE820Table + i * sizeof(RawE820),
        RawE820{e820[i].address, e820[i].length, static_cast<uint32_t>(e820[i].type)});
}

}  // namespace

ZeroPage make_zero_page(const BootParams& params) {
  ZeroPage page{};
  make_setup_header(page);
  std::ranges::copy(params.setup_header, page.begin() + BzImage::kSetupHeader);

  const auto flags = static_cast<uint8_t>(page[kLoadFlags]) & ~(kKaslr | kCanUseHeap);
  put(page, kLoadFlags, static_cast<uint8_t>(flags | kLoadedHigh | (params.kaslr ? kKaslr : 0)));
  put(page, kLoader, kUnknownLoader);
  put(page, kSetupData, le64(0));
  put(page, kAcpiRsdp, le64(params.acpi_rsdp));
  put_split(page, kCommandLineAddress, kExtCommandLine, params.command_line);
  const Range initrd = params.initrd.value_or(Range{});
  put_split(page, kRamdiskAddress, kExtRamdiskAddress, initrd.start);
  put_split(page, kRamdiskSize, kExtRamdiskSize, initrd.length);
  put_e820(page, params.e820);
  if (params.framebuffer) put_screen(page, *params.framebuffer);
  return page;
}

}  // namespace vireo
