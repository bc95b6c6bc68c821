#include "vmm/boot/linux.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string_view>

#include <fmt/core.h>

#include "vmm/base/bytes.h"
#include "vmm/base/error.h"
#include "vmm/boot/boot_params.h"
#include "vmm/boot/bzimage.h"
#include "vmm/boot/elf.h"
#include "vmm/boot/image.h"
#include "vmm/boot/multiboot.h"
#include "vmm/boot/pvh.h"
#include "vmm/boot/vmlinux.h"
#include "vmm/memory/layout.h"

namespace vireo {
namespace {

// COMMAND_LINE_SIZE of x86 without its terminating zero, for kernels whose file does not tell.
constexpr uint64_t kLinuxCommandLineMax = 2047;
constexpr uint64_t kAnyCommandLineMax = layout::kCommandLineMax - 1;

bool has_word(std::string_view text, std::string_view word) {
  for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || text[at - 1] == ' ') && (end == text.size() || text[end] == ' ')) return true;
  }
  return false;
}

// cpio, plain or packed in one of the ways the kernel knows (Linux, lib/decompress.c).
bool looks_like_initramfs(const Image& image) {
  using namespace std::string_view_literals;
  static constexpr std::array kMagics{"07070"sv,
                                      "\x1f\x8b"sv,
                                      "BZh"sv,
                                      "\xfd\x37zXZ"sv,
                                      "\x5d\x00"sv,
                                      "\x89LZO"sv,
                                      "\x02\x21\x4c\x18"sv,
                                      "\x28\xb5\x2f\xfd"sv};
  std::array<char, 8> start{};
  const size_t present = std::min<uint64_t>(start.size(), image.size());
  image.read(0, std::as_writable_bytes(std::span(start)).first(present));
  return std::ranges::any_of(kMagics, [&](std::string_view magic) {
    return std::string_view(start.data(), present).starts_with(magic);
  });
}

class Loader {
 public:
  Loader(GuestMemory& memory, const LinuxBoot& boot, uint64_t acpi_rsdp, const Logger& log)
      : memory_(memory),
        boot_(boot),
        rsdp_(acpi_rsdp),
        log_(log),
        ram_(memory),
        e820_(e820_map(memory)) {}

  LoadedKernel load() {
    const FileImage kernel("kernel", boot_.kernel);
    const auto bzimage = parse_bzimage(kernel);
    const EntryState entry = bzimage ? load_bzimage(kernel, *bzimage) : load_other(kernel);
    return {.entry = entry, .e820 = e820_};
  }

 private:
  EntryState load_bzimage(const FileImage& file, const BzImage& bzimage);
  uint64_t load_packed(const FileImage& file, const BzImage& bzimage);
  EntryState load_other(const Image& image);
  BootProtocol choose(const Image& image, const ElfFile* elf, bool has_multiboot) const;
  EntryState enter_linux(uint64_t entry, const BzImage* bzimage, bool kaslr);
  EntryState load_elf(const Image& image, const ElfFile& elf, BootProtocol protocol);

  std::optional<Range> load_initrd(uint64_t limit);
  void write_command_line(const Image& kernel, const std::string& text, uint64_t limit);

  GuestMemory& memory_;
  const LinuxBoot& boot_;
  uint64_t rsdp_;
  const Logger& log_;
  RamMap ram_;
  std::vector<E820Entry> e820_;
};

EntryState Loader::load_bzimage(const FileImage& file, const BzImage& bzimage) {
  if (boot_.protocol != BootProtocol::automatic && boot_.protocol != BootProtocol::linux64)
    throw ConfigError(fmt::format(
        "{} is a bzImage, which is entered by the 64-bit Linux protocol only", file.name()));
  std::optional<Vmlinux> vmlinux;
  if (boot_.unpack == Unpack::automatic)
    vmlinux = extract_vmlinux(file, bzimage, boot_.cache, log_);
  if (vmlinux) load_segments(*vmlinux->image, vmlinux->elf, memory_, ram_);
  const uint64_t entry = vmlinux ? vmlinux->entry : load_packed(file, bzimage);
  log_.debug("boot", fmt::format("{} {}, entry at {:#x}", file.name(),
                                 vmlinux ? "unpacked here" : "unpacks itself", entry));
  write_command_line(file, boot_.cmdline,
                     std::min<uint64_t>(bzimage.command_line_size, kAnyCommandLineMax));
  // The kernel's own unpacker would have set this; without relocation only the kernel's memory
  // areas are left to be randomised.
  const bool kaslr = vmlinux && bzimage.relocatable && !has_word(boot_.cmdline, "nokaslr");
  return enter_linux(entry, &bzimage, kaslr);
}

// boot.rst, "Loading the rest of the kernel" and "64-bit boot protocol": the code goes to 1 MiB,
// unpacks itself to where it wants to run, and must find init_size bytes of RAM there.
uint64_t Loader::load_packed(const FileImage& file, const BzImage& bzimage) {
  if (!bzimage.has_64bit_entry)
    throw ConfigError(
        fmt::format("{} has no 64-bit entry point: use a 64-bit kernel", file.name()));
  constexpr uint64_t kLoad = layout::kHighRamStart;
  if (bzimage.preferred_address >= layout::kRamGapEnd || bzimage.alignment > GiB)
    file.corrupt("it wants to run beyond 4 GiB");
  uint64_t run = bzimage.preferred_address;
  if (bzimage.relocatable)
    run = std::max(run, (kLoad + bzimage.alignment - 1) / bzimage.alignment * bzimage.alignment);
  // One piece when the code reaches into it: it moves out of its own way.
  const uint64_t code_end = kLoad + bzimage.code.length;
  const uint64_t run_end = run + bzimage.init_size;
  const bool apart = run >= code_end;
  ram_.claim(kLoad, (apart ? code_end : std::max(code_end, run_end)) - kLoad, file.name());
  if (apart) ram_.claim(run, bzimage.init_size, file.name());
  load_into(memory_, kLoad, file, bzimage.code.offset, bzimage.code.length);
  return kLoad + BzImage::kEntry64;
}

EntryState Loader::enter_linux(uint64_t entry, const BzImage* bzimage, bool kaslr) {
  const uint64_t limit = bzimage != nullptr ? bzimage->initrd_limit : 2 * GiB;
  BootParams params{.kaslr = kaslr,
                    .command_line = layout::kCommandLine,
                    .initrd = load_initrd(limit),
                    .acpi_rsdp = rsdp_,
                    .e820 = e820_,
                    .framebuffer = boot_.framebuffer};
  if (bzimage != nullptr) params.setup_header = bzimage->setup_header;
  VMM_CHECK(memory_.write(layout::kBootParams, make_zero_page(params)), "low memory is always RAM");
  EntryState state = enter_long_mode(memory_, entry);
  state.rsi = layout::kBootParams;
  return state;
}

EntryState Loader::load_other(const Image& image) {
  std::optional<ElfFile> elf;
  if (is_elf(image)) elf = parse_elf(image);
  const auto multiboot = find_multiboot_header(image);
  const BootProtocol protocol = choose(image, elf ? &*elf : nullptr, multiboot.has_value());
  if (protocol != BootProtocol::multiboot) return load_elf(image, *elf, protocol);

  const uint64_t entry = load_multiboot(image, *multiboot, memory_, ram_);
  // By custom the command line begins with the kernel's name.
  write_command_line(image, boot_.kernel.filename().string() + " " + boot_.cmdline,
                     kAnyCommandLineMax);
  return enter_multiboot(memory_, {.entry = entry,
                                   .initrd = load_initrd(layout::kRamGapStart),
                                   .e820 = e820_,
                                   .framebuffer = boot_.framebuffer});
}

BootProtocol Loader::choose(const Image& image, const ElfFile* elf, bool has_multiboot) const {
  using enum BootProtocol;
  const bool has_linux64 = elf != nullptr && elf->is_64bit;
  const bool has_pvh = elf != nullptr && elf->pvh_entry;
  const auto wanted = [&](BootProtocol protocol, bool possible, std::string_view lacks) {
    if (boot_.protocol == protocol && !possible)
      throw ConfigError(fmt::format("{} has no {}", image.name(), lacks));
  };
  wanted(linux64, has_linux64, "64-bit Linux entry point: it is no 64-bit ELF file");
  wanted(pvh, has_pvh, "PVH note");
  wanted(multiboot, has_multiboot, "multiboot header");
  if (boot_.protocol != automatic) return boot_.protocol;

  if (has_linux64 && elf->is_linux) return linux64;
  if (has_pvh) return pvh;
  if (has_multiboot) return multiboot;
  if (has_linux64) return linux64;
  throw ConfigError(fmt::format(
      "{} is {}: give a bzImage, a 64-bit vmlinux, or a kernel with a PVH note or multiboot header",
      image.name(),
      elf != nullptr ? "a 32-bit ELF file without either" : "no kernel of a known form"));
}

EntryState Loader::load_elf(const Image& image, const ElfFile& elf, BootProtocol protocol) {
  const auto entry = protocol == BootProtocol::pvh ? elf.pvh_entry : elf.physical_entry();
  if (!entry || !elf.holds(*entry)) image.corrupt("its entry point lies in none of its segments");
  load_segments(image, elf, memory_, ram_);
  write_command_line(image, boot_.cmdline,
                     elf.is_linux ? kLinuxCommandLineMax : kAnyCommandLineMax);
  if (protocol == BootProtocol::linux64) return enter_linux(*entry, nullptr, false);
  if (boot_.framebuffer)
    log_.warn("boot", fmt::format("{} is entered by PVH, which cannot tell it of the screen",
                                  image.name()));
  return enter_pvh(memory_, {.entry = *entry,
                             .initrd = load_initrd(layout::kRamGapStart),
                             .acpi_rsdp = rsdp_,
                             .e820 = e820_});
}

std::optional<Range> Loader::load_initrd(uint64_t limit) {
  if (boot_.initrd.empty()) return std::nullopt;
  const FileImage initrd("initrd", boot_.initrd);
  if (!looks_like_initramfs(initrd))
    log_.warn("boot", fmt::format("{} is no cpio archive, plain or packed: the kernel may not find "
                                  "anything in it",
                                  initrd.name()));
  const auto address = ram_.claim_high(initrd.size(), limit, initrd.name());
  if (!address)
    throw ConfigError(
        fmt::format("{} ({} bytes) does not fit beside the kernel: give the machine more memory",
                    initrd.name(), initrd.size()));
  load_into(memory_, *address, initrd, 0, initrd.size());
  return Range{*address, initrd.size()};
}

void Loader::write_command_line(const Image& kernel, const std::string& text, uint64_t limit) {
  if (text.size() > limit)
    throw ConfigError(fmt::format("the command line has {} characters, {} takes {} at most",
                                  text.size(), kernel.name(), limit));
  if (text.find('\0') != text.npos) throw ConfigError("the command line contains a zero character");
  const std::span<const char> with_zero(text.c_str(), text.size() + 1);
  VMM_CHECK(memory_.write(layout::kCommandLine, std::as_bytes(with_zero)),
            "low memory is always RAM");
}

}  // namespace

LoadedKernel load_linux(GuestMemory& memory, const LinuxBoot& boot, uint64_t acpi_rsdp,
                        const Logger& log) {
  return Loader(memory, boot, acpi_rsdp, log).load();
}

std::string with_virtio_mmio(const std::string& cmdline, std::span<const AcpiDevice> devices) {
  std::string text;
  for (const AcpiDevice& device : devices)
    if (device.kind == AcpiDevice::Kind::virtio_mmio)
      text += fmt::format("virtio_mmio.device={:#x}@{:#x}:{} ", device.length, device.address,
                          device.gsi);
  return text + cmdline;
}

std::string with_screen_console(const std::string& cmdline) {
  constexpr std::string_view kConsole = "console=tty";  // and a number, or nothing; not ttyS0
  for (size_t at = 0; (at = cmdline.find(kConsole, at)) != cmdline.npos; at += kConsole.size()) {
    const size_t end = at + kConsole.size();
    const bool is_screen = end == cmdline.size() || std::isalpha(cmdline[end]) == 0;
    if (is_screen && (at == 0 || cmdline[at - 1] == ' ')) return cmdline;
  }
  return cmdline.empty() ? "console=tty0" : "console=tty0 " + cmdline;
}

}  // namespace vireo
