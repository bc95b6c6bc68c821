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
#include "vmm/boot/foreign.h"
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
  EntryState enter_linux(const Image& kernel, uint64_t entry, const BzImage* bzimage, bool kaslr);
  EntryState load_as_multiboot(const Image& image, const MultibootHeader& header);
  EntryState load_as_pvh(const Image& image, const ElfFile& elf);
  EntryState load_as_linux(const Image& image, const ElfFile& elf);

  std::optional<Range> load_initrd(std::string_view role, const Image& kernel, uint64_t limit);
  [[noreturn]] void initrd_does_not_fit(const Image& initrd, const Image& kernel,
                                        uint64_t limit) const;
  EntryArea claim_area(const Image& kernel, const std::string& cmdline, uint64_t limit);
  void write_command_line(const Image& kernel, const std::string& text, uint64_t address,
                          uint64_t limit);

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
  write_command_line(file, boot_.cmdline, layout::kCommandLine,
                     std::min<uint64_t>(bzimage.command_line_size, kAnyCommandLineMax));
  // The kernel's own unpacker would have set this; without relocation only the kernel's memory
  // areas are left to be randomised.
  const bool kaslr = vmlinux && bzimage.relocatable && !has_word(boot_.cmdline, "nokaslr");
  return enter_linux(file, entry, &bzimage, kaslr);
}

// boot.rst, "Loading the rest of the kernel" and "64-bit boot protocol": the code goes to 1 MiB,
// unpacks itself to where it wants to run, and must find init_size bytes of RAM there.
uint64_t Loader::load_packed(const FileImage& file, const BzImage& bzimage) {
  if (!bzimage.has_64bit_entry)
    throw ConfigError(
        fmt::format("{} has no 64-bit entry point, and its 16-bit one needs a firmware (BIOS) that "
                    "this machine does not have: use a 64-bit kernel",
                    file.name()));
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

EntryState Loader::enter_linux(const Image& kernel, uint64_t entry, const BzImage* bzimage,
                               bool kaslr) {
  const uint64_t limit = bzimage != nullptr ? bzimage->initrd_limit : 2 * GiB;
  BootParams params{.kaslr = kaslr,
                    .command_line = layout::kCommandLine,
                    .initrd = load_initrd("initrd", kernel, limit),
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
  switch (choose(image, elf ? &*elf : nullptr, multiboot.has_value())) {
    case BootProtocol::multiboot:
      return load_as_multiboot(image, *multiboot);
    case BootProtocol::pvh:
      return load_as_pvh(image, *elf);
    default:
      return load_as_linux(image, *elf);
  }
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
  if (const std::string foreign = elf == nullptr ? describe_foreign(image) : ""; !foreign.empty())
    throw ConfigError(fmt::format("{} is {}", image.name(), foreign));
  throw ConfigError(fmt::format(
      "{} is {}: give a bzImage, a 64-bit vmlinux, or a kernel with a PVH note or multiboot header",
      image.name(),
      elf != nullptr ? "a 32-bit ELF file without either" : "no kernel of a known form"));
}

EntryState Loader::load_as_linux(const Image& image, const ElfFile& elf) {
  const auto entry = elf.physical_entry();
  if (!entry) image.corrupt("its entry point lies in none of its segments");
  load_segments(image, elf, memory_, ram_);
  write_command_line(image, boot_.cmdline, layout::kCommandLine,
                     elf.is_linux ? kLinuxCommandLineMax : kAnyCommandLineMax);
  return enter_linux(image, *entry, nullptr, false);
}

EntryState Loader::load_as_multiboot(const Image& image, const MultibootHeader& header) {
  ram_ = RamMap(memory_, RamMap::LowMemory::is_free);
  const uint64_t entry = load_multiboot(image, header, memory_, ram_);
  // By custom the command line begins with the kernel's name.
  const EntryArea area =
      claim_area(image, boot_.kernel.filename().string() + " " + boot_.cmdline, kAnyCommandLineMax);
  return enter_multiboot(memory_, {.entry = entry,
                                   .area = area,
                                   .initrd = load_initrd("module", image, layout::kRamGapStart),
                                   .e820 = e820_,
                                   .framebuffer = boot_.framebuffer});
}

EntryState Loader::load_as_pvh(const Image& image, const ElfFile& elf) {
  if (!elf.holds(*elf.pvh_entry)) image.corrupt("its entry point lies in none of its segments");
  if (boot_.framebuffer)
    log_.warn("boot", fmt::format("{} is entered by PVH, which cannot tell it of the screen",
                                  image.name()));
  ram_ = RamMap(memory_, RamMap::LowMemory::is_free);
  load_segments(image, elf, memory_, ram_);
  const EntryArea area =
      claim_area(image, boot_.cmdline, elf.is_linux ? kLinuxCommandLineMax : kAnyCommandLineMax);
  return enter_pvh(memory_, {.entry = *elf.pvh_entry,
                             .area = area,
                             .initrd = load_initrd(elf.is_linux ? "initrd" : "module", image,
                                                   layout::kRamGapStart),
                             .acpi_rsdp = rsdp_,
                             .e820 = e820_});
}

// Where the kernel leaves room, in low memory if possible: small programs map no more.
EntryArea Loader::claim_area(const Image& kernel, const std::string& cmdline, uint64_t limit) {
  const uint64_t length = EntryArea::kCommandLine + std::min<uint64_t>(cmdline.size(), limit) + 1;
  const std::string what = "what the kernel is told";
  auto address = ram_.claim_low(length, layout::kEntryArea, what);
  if (!address) address = ram_.claim_high(length, layout::kRamGapStart, what);
  if (!address)
    throw ConfigError(fmt::format(
        "{} leaves no room for its command line: give the machine more memory", kernel.name()));
  const EntryArea area{*address};
  write_command_line(kernel, cmdline, area.command_line(), limit);
  return area;
}

std::optional<Range> Loader::load_initrd(std::string_view role, const Image& kernel,
                                         uint64_t limit) {
  if (boot_.initrd.empty()) return std::nullopt;
  const FileImage initrd(role, boot_.initrd);
  if (role == "initrd" && !looks_like_initramfs(initrd))
    log_.warn("boot", fmt::format("{} is no cpio archive, plain or packed: the kernel may not find "
                                  "anything in it",
                                  initrd.name()));
  const auto address = ram_.claim_high(initrd.size(), limit, initrd.name());
  if (!address) initrd_does_not_fit(initrd, kernel, limit);
  load_into(memory_, *address, initrd, 0, initrd.size());
  return Range{*address, initrd.size()};
}

// More memory helps up to a limit: the kernel's own, or where the RAM below 4 GiB ends.
void Loader::initrd_does_not_fit(const Image& initrd, const Image& kernel, uint64_t limit) const {
  const uint64_t reachable = std::min(limit, layout::kRamGapStart);
  const std::string what =
      fmt::format("{} ({} bytes) does not fit beside the kernel", initrd.name(), initrd.size());
  if (ram_.end() < reachable && initrd.size() < reachable - layout::kHighRamStart)
    throw ConfigError(what + ": give the machine more memory");
  throw ConfigError(fmt::format(
      "{}: it must end below {} MiB, {}, however much memory there is", what, reachable / MiB,
      limit < layout::kRamGapStart ? fmt::format("the limit of {}", kernel.name())
                                   : "where the RAM below 4 GiB ends"));
}

void Loader::write_command_line(const Image& kernel, const std::string& text, uint64_t address,
                                uint64_t limit) {
  if (text.size() > limit)
    throw ConfigError(fmt::format("the command line has {} characters, {} takes {} at most",
                                  text.size(), kernel.name(), limit));
  if (text.find('\0') != text.npos) throw ConfigError("the command line contains a zero character");
  const std::span<const char> with_zero(text.c_str(), text.size() + 1);
  VMM_CHECK(memory_.write(address, std::as_bytes(with_zero)), "its place is RAM");
}

}  // namespace

LoadedKernel load_linux(GuestMemory& memory, const LinuxBoot& boot, uint64_t acpi_rsdp,
                        const Logger& log) {
  return Loader(memory, boot, acpi_rsdp, log).load();
}

bool is_linux(const LinuxBoot& boot) {
  const FileImage kernel("kernel", boot.kernel);
  if (parse_bzimage(kernel)) return true;
  return is_elf(kernel) && parse_elf(kernel).is_linux;
}

std::string with_virtio_mmio(const std::string& cmdline, std::span<const AcpiDevice> devices) {
  std::string text;
  for (const AcpiDevice& device : devices)
    if (device.hid == kVirtioMmioHid)
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
