#include "vmm/boot/foreign.h"

#include <algorithm>
#include <array>

namespace vireo {
namespace {

using namespace std::string_view_literals;

struct Mark {
  uint64_t offset;
  std::string_view magic;
  std::string_view what;
};

// The first that matches counts: an arm64 kernel with an EFI stub is a PE file, too.
constexpr std::array kMarks{
    Mark{0, "\x1f\x8b"sv, "packed by gzip: unpack it first (gunzip)"},
    Mark{0, "\x28\xb5\x2f\xfd"sv, "packed by zstd: unpack it first (unzstd)"},
    Mark{0, "\xfd\x37zXZ\x00"sv, "packed by xz: unpack it first (unxz)"},
    Mark{0, "BZh"sv, "packed by bzip2: unpack it first (bunzip2)"},
    Mark{0, "\x02\x21\x4c\x18"sv, "packed by lz4: unpack it first (unlz4)"},
    Mark{0, "\x04\x22\x4d\x18"sv, "packed by lz4: unpack it first (unlz4)"},
    Mark{0, "\x5d\x00\x00"sv, "packed by lzma: unpack it first (unlzma)"},
    Mark{0, "\x89LZO"sv, "packed by lzop: unpack it first (lzop -d)"},
    Mark{56, "ARM\x64"sv, "a Linux kernel for arm64: this machine is an x86-64 one"},
    Mark{48, "RISCV"sv, "a Linux kernel for RISC-V: this machine is an x86-64 one"},
    Mark{4, "zimg"sv, "a packed kernel for EFI firmware (zboot): use the kernel in it"},
    Mark{0, "MZ"sv, "a program for EFI firmware or Windows (PE), which needs a firmware"},
    Mark{0, "\x27\x05\x19\x56"sv, "a U-Boot image: use the kernel in it"},
    Mark{0, "\xd0\x0d\xfe\xed"sv, "a device tree or FIT image, as other machines start from"},
    Mark{0, "\x07\x01\x64\x00"sv, "an a.out program: use an ELF file"},
    Mark{0, "\x08\x01\x64\x00"sv, "an a.out program: use an ELF file"},
    Mark{0, "\x0b\x01\x64\x00"sv, "an a.out program: use an ELF file"},
    Mark{0, "\xcf\xfa\xed\xfe"sv, "a Mach-O program: use an ELF file"},
    Mark{0, "\xce\xfa\xed\xfe"sv, "a Mach-O program: use an ELF file"},
    Mark{0, "07070"sv, "a cpio archive: an initrd is given by --initrd"},
    Mark{0, "QFI\xfb"sv, "a qcow2 image: a disk is given by --disk"},
    Mark{0x8001, "CD001"sv, "the image of a CD, which needs a firmware: use the kernel in it"},
    Mark{0, "#!"sv, "a script"},
    Mark{510, "\x55\xaa"sv,
         "a boot sector, entered in 16-bit mode, which needs a firmware (BIOS) that this machine "
         "does not have"},
};

bool has(const Image& image, const Mark& mark) {
  if (!image.contains(mark.offset, mark.magic.size())) return false;
  std::array<char, 8> found{};
  image.read(mark.offset, std::as_writable_bytes(std::span(found)).first(mark.magic.size()));
  return std::string_view(found.data(), mark.magic.size()) == mark.magic;
}

struct Machine {
  uint16_t number;
  std::string_view name;
};
constexpr std::array kMachines{
    Machine{2, "SPARC"},     Machine{4, "m68k"},      Machine{8, "MIPS"},
    Machine{20, "PowerPC"},  Machine{21, "PPC64"},    Machine{22, "s390"},
    Machine{40, "Arm"},      Machine{43, "SPARC v9"}, Machine{50, "IA-64"},
    Machine{183, "AArch64"}, Machine{243, "RISC-V"},  Machine{258, "LoongArch"},
};

}  // namespace

std::string describe_foreign(const Image& image) {
  const auto* const mark =
      std::ranges::find_if(kMarks, [&](const Mark& candidate) { return has(image, candidate); });
  return mark == kMarks.end() ? "" : std::string(mark->what);
}

std::string_view elf_machine_name(uint16_t machine) {
  const auto* const known = std::ranges::find(kMachines, machine, &Machine::number);
  return known == kMachines.end() ? "" : known->name;
}

}  // namespace vireo
