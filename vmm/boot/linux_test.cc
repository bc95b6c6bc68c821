#include "vmm/boot/linux.h"

#include <cstdlib>
#include <optional>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/boot/testing/packers.h"

namespace vireo {
namespace {

namespace fs = std::filesystem;
using Catch::Contains;
using testing::Bytes;
using testing::make_bzimage;
using testing::make_elf;
using testing::poke;
using testing::TempDir;

constexpr uint64_t kRsdp = layout::kAcpiTables;

struct Vm {
  TempDir dir{};
  GuestMemory memory{{.size = 64 * MiB}};
  LinuxBoot boot{.cmdline = "console=ttyS0", .cache = {}};
  std::vector<std::string> warnings{};
  Logger log{LogLevel::warn, [this](LogLevel, std::string_view, std::string_view text) {
               warnings.emplace_back(text);
             }};

  void kernel(const Bytes& bytes) { boot.kernel = dir.write("kernel", bytes); }
  void initrd(const Bytes& bytes) { boot.initrd = dir.write("initrd", bytes); }
  LoadedKernel load() { return load_linux(memory, boot, kRsdp, log); }
  std::string error() {
    try {
      load();
      return "accepted";
    } catch (const ConfigError& failure) {
      return failure.what();
    }
  }

  template <Wire T>
  T at(uint64_t address) const {
    return memory.read<T>(address).value();
  }
  uint64_t param32(uint64_t offset) const { return at<le32>(layout::kBootParams + offset); }
  uint64_t param64(uint64_t offset) const { return at<le64>(layout::kBootParams + offset); }
  uint8_t param8(uint64_t offset) const { return at<uint8_t>(layout::kBootParams + offset); }
  std::string text(uint64_t address) const {
    const auto rest = memory.range(address, 65536).value();
    return reinterpret_cast<const char*>(rest.data());
  }
  bool holds(uint64_t address, std::span<const std::byte> content) const {
    return std::ranges::equal(memory.range(address, content.size()).value(), content);
  }
};

Bytes cpio(size_t size) {
  Bytes bytes = testing::pattern(size);
  std::memcpy(bytes.data(), "070701", 6);
  return bytes;
}

Bytes linux_elf() {
  return make_elf({.notes = testing::linux_note()});
}

}  // namespace

TEST_CASE("a bzImage is unpacked and entered at its ELF entry point") {
  const testing::Packer packer = GENERATE(from_range(testing::kPackers));
  Vm vm;
  const Bytes elf = linux_elf();
  vm.kernel(make_bzimage({.payload = packer.pack(elf)}));
  const LoadedKernel loaded = vm.load();
  CHECK(loaded.entry.mode == EntryState::Mode::long64);
  CHECK(loaded.entry.rip == 16 * MiB + 0x40);
  CHECK(loaded.entry.rsi == layout::kBootParams);
  CHECK(loaded.e820 == e820_map(vm.memory));
  CHECK(vm.holds(16 * MiB, std::span(elf).subspan(4096, 3000)));
}

TEST_CASE("boot_params tells the kernel all it needs") {
  Vm vm;
  vm.kernel(make_bzimage({.payload = testing::pack_gzip(linux_elf())}));
  const Bytes initrd = cpio(10'000);
  vm.initrd(initrd);
  vm.load();
  CHECK(vm.param32(0x202) == 0x53726448);
  CHECK(vm.param8(0x210) == 0xff);
  CHECK((vm.param8(0x211) & 1) == 1);
  CHECK(vm.param64(0x258) == 16 * MiB);  // of the file's own header
  CHECK(vm.param64(0x70) == kRsdp);
  CHECK(vm.text(vm.param32(0x228)) == "console=ttyS0");
  CHECK(vm.param32(0xc8) == 0);
  const uint64_t address = vm.param32(0x218);
  CHECK(address % 4096 == 0);
  CHECK(address + 12288 == 64 * MiB);
  CHECK(vm.param32(0x21c) == 10'000);
  CHECK(vm.holds(address, initrd));
  REQUIRE(vm.param8(0x1e8) == 4);
  CHECK(vm.param64(0x2d0 + 60) == MiB);
  CHECK(vm.param64(0x2d0 + 68) == 63 * MiB);
  CHECK(vm.param32(0x2d0 + 76) == 1);
  CHECK(all_zero(vm.memory.range(layout::kBootParams, 0x40).value()));
}

TEST_CASE("the kernel is told to randomise its memory areas unless the user says no") {
  Vm vm;
  const auto kaslr = [&](const std::string& cmdline) {
    vm.memory.clear();
    vm.boot.cmdline = cmdline;
    vm.load();
    return (vm.param8(0x211) & 2) != 0;
  };
  Bytes image = make_bzimage({.payload = testing::pack_gzip(linux_elf())});
  vm.kernel(image);
  CHECK(kaslr(""));
  CHECK(kaslr("quiet xnokaslr nokaslrx"));
  CHECK_FALSE(kaslr("nokaslr"));
  CHECK_FALSE(kaslr("quiet xnokaslr nokaslr ro"));
  SECTION("not a relocatable one") {
    poke(image, 0x234, uint8_t{0});
    vm.kernel(image);
    CHECK_FALSE(kaslr(""));
  }
  SECTION("not one that unpacks itself: it decides") {
    vm.boot.unpack = Unpack::never;
    CHECK_FALSE(kaslr(""));
  }
}

TEST_CASE("a bzImage that is not unpacked is entered by its own unpacker") {
  Vm vm;
  TempDir cache;
  const Bytes image = make_bzimage({.payload = testing::pack_gzip(linux_elf())});
  vm.kernel(image);
  SECTION("because the user says so") {
    vm.boot.unpack = Unpack::never;
    vm.boot.cache = cache.path();
  }
  SECTION("because its packing is unknown") {
    vm.kernel(make_bzimage({.payload = Bytes(5000)}));
  }
  SECTION("because there is no ELF file in it") {
    vm.kernel(make_bzimage({.payload = testing::pack_gzip(testing::pattern(5000))}));
  }
  SECTION("because the ELF file in it is a 32-bit one") {
    vm.kernel(make_bzimage({.payload = testing::pack_gzip(make_elf({.is_64bit = false}))}));
  }
  const LoadedKernel loaded = vm.load();
  CHECK(loaded.entry.rip == MiB + 0x200);
  CHECK(loaded.entry.rsi == layout::kBootParams);
  CHECK(vm.holds(MiB, testing::pattern(4096, 7)));
  CHECK(fs::is_empty(cache.path()));
}

TEST_CASE("a kernel's own unpacker needs its memory and a 64-bit entry") {
  Vm vm;
  vm.boot.unpack = Unpack::never;
  Bytes image = make_bzimage({});
  SECTION("the memory it wants to run in") {
    poke(image, 0x260, le32(48 * MiB + 1));
    vm.kernel(image);
    CHECK_THAT(vm.error(), Contains("does not fit in memory") && Contains("64 MiB"));
    poke(image, 0x260, le32(48 * MiB));
    vm.kernel(image);
    CHECK(vm.error() == "accepted");
  }
  SECTION("the initrd stays clear of it") {
    poke(image, 0x260, le32(48 * MiB));
    vm.kernel(image);
    vm.initrd(cpio(4096));
    vm.load();
    CHECK(vm.param32(0x218) == 16 * MiB - 4096);
  }
  SECTION("an address beyond everything") {
    poke(image, 0x258, le64(UINT64_MAX - 4));
    vm.kernel(image);
    CHECK_THAT(vm.error(), Contains("beyond 4 GiB"));
  }
  SECTION("an entry") {
    vm.kernel(make_bzimage({.extended_load_flags = 0}));
    CHECK_THAT(vm.error(), Contains("no 64-bit entry point") && Contains("firmware"));
  }
}

TEST_CASE("unpacked kernels are taken from the cache") {
  Vm vm;
  const TempDir cache;
  vm.boot.cache = cache.path() / "vireo";
  const Bytes elf = linux_elf();
  vm.kernel(make_bzimage({.payload = testing::pack_xz(elf)}));
  vm.load();
  const auto find = [&] {
    for (const auto& entry : fs::directory_iterator(vm.boot.cache))
      if (entry.path().extension() == ".elf") return entry.path();
    return fs::path();
  };
  const fs::path entry = find();
  REQUIRE_FALSE(entry.empty());

  // Something else in its place, made as the cache itself would, shows where the next start reads.
  const Bytes other = make_elf({.entry = 16 * MiB + 0x80, .notes = testing::linux_note()});
  fs::remove(entry);
  KernelCache(vm.boot.cache).store(entry.stem(), {}, other);
  vm.memory.clear();
  CHECK(vm.load().entry.rip == 16 * MiB + 0x80);

  SECTION("unless the entry is damaged") {
    Bytes damaged = other;
    poke(damaged, 32, le64(UINT64_MAX));
    fs::remove(entry);
    KernelCache(vm.boot.cache).store(entry.stem(), {}, damaged);
    vm.memory.clear();
    CHECK(vm.load().entry.rip == 16 * MiB + 0x40);
    vm.memory.clear();
    CHECK(vm.load().entry.rip == 16 * MiB + 0x40);
  }
  SECTION("unless the bzImage is another") {
    vm.kernel(make_bzimage({.payload = testing::pack_zstd(elf)}));
    vm.memory.clear();
    CHECK(vm.load().entry.rip == 16 * MiB + 0x40);
  }
}

TEST_CASE("a cache that cannot be written changes nothing") {
  Vm vm;
  vm.boot.cache = "/proc/nowhere/vireo";
  vm.kernel(make_bzimage({.payload = testing::pack_gzip(linux_elf())}));
  CHECK(vm.load().entry.rip == 16 * MiB + 0x40);
}

TEST_CASE("a vmlinux is entered by the 64-bit protocol") {
  Vm vm;
  vm.kernel(linux_elf());
  vm.initrd(cpio(100));
  const LoadedKernel loaded = vm.load();
  CHECK(loaded.entry.mode == EntryState::Mode::long64);
  CHECK(loaded.entry.rip == 16 * MiB + 0x40);
  CHECK(vm.param32(0x202) == 0x53726448);
  CHECK(vm.at<le16>(layout::kBootParams + 0x1fe) == le16(0xaa55));
  CHECK(vm.param64(0x70) == kRsdp);
  CHECK(vm.param8(0x1e8) == 4);
  CHECK(vm.text(vm.param32(0x228)) == "console=ttyS0");
  CHECK((vm.param8(0x211) & 2) == 0);
}

TEST_CASE("the kernel's form and notes decide how it is entered") {
  Vm vm;
  const auto mode = [&] {
    const EntryState entry = vm.load().entry;
    if (entry.mode == EntryState::Mode::long64) return std::string("linux64");
    return std::string(entry.rax == 0x2badb002 ? "multiboot" : "pvh");
  };
  Bytes linux_and_pvh = testing::linux_note();
  const Bytes pvh = testing::pvh_note(16 * MiB + 0x10);
  linux_and_pvh.insert(linux_and_pvh.end(), pvh.begin(), pvh.end());
  testing::TestSegment with_header;
  poke(with_header.content, 0, le32(0x1badb002));
  poke(with_header.content, 4, le32(0));
  poke(with_header.content, 8, le32(-0x1badb002U));

  SECTION("Linux") {
    vm.kernel(make_elf({.notes = linux_and_pvh}));
    CHECK(mode() == "linux64");
  }
  SECTION("Linux through PVH when asked") {
    vm.kernel(make_elf({.notes = linux_and_pvh}));
    vm.boot.protocol = BootProtocol::pvh;
    CHECK(mode() == "pvh");
  }
  SECTION("32-bit Linux through PVH") {
    vm.kernel(make_elf({.is_64bit = false, .notes = linux_and_pvh}));
    CHECK(mode() == "pvh");
  }
  SECTION("others through PVH") {
    vm.kernel(make_elf({.segments = {with_header}, .notes = pvh}));
    CHECK(mode() == "pvh");
  }
  SECTION("or multiboot") {
    vm.kernel(make_elf({.is_64bit = false, .segments = {with_header}}));
    CHECK(mode() == "multiboot");
  }
  SECTION("or multiboot when asked") {
    vm.kernel(make_elf({.segments = {with_header}, .notes = pvh}));
    vm.boot.protocol = BootProtocol::multiboot;
    CHECK(mode() == "multiboot");
  }
  SECTION("or, with nothing to tell, the 64-bit protocol") {
    vm.kernel(make_elf({}));
    CHECK(mode() == "linux64");
  }
  SECTION("what the kernel cannot do is refused") {
    vm.kernel(make_elf({}));
    vm.boot.protocol = BootProtocol::pvh;
    CHECK_THAT(vm.error(), Contains("has no PVH note"));
    vm.boot.protocol = BootProtocol::multiboot;
    CHECK_THAT(vm.error(), Contains("has no multiboot header"));
    vm.kernel(make_elf({.is_64bit = false}));
    vm.boot.protocol = BootProtocol::linux64;
    CHECK_THAT(vm.error(), Contains("has no 64-bit Linux entry point"));
    vm.boot.protocol = BootProtocol::automatic;
    CHECK_THAT(vm.error(), Contains("is a 32-bit ELF file without either"));
    vm.boot.protocol = BootProtocol::pvh;
    vm.kernel(make_bzimage({.payload = testing::pack_gzip(linux_elf())}));
    CHECK_THAT(vm.error(), Contains("64-bit Linux protocol only"));
  }
}

TEST_CASE("PVH start info leads to all that is there") {
  Vm vm;
  vm.kernel(make_elf({.is_64bit = false, .notes = testing::pvh_note(16 * MiB + 0x10)}));
  const Bytes initrd = cpio(5000);
  vm.initrd(initrd);
  const EntryState entry = vm.load().entry;
  CHECK(entry.mode == EntryState::Mode::protected32);
  CHECK(entry.rip == 16 * MiB + 0x10);
  const uint64_t info = entry.rbx;
  CHECK(vm.at<le32>(info) == le32(0x336ec578));
  CHECK(vm.at<le32>(info + 4) == le32(1));
  REQUIRE(vm.at<le32>(info + 12) == le32(1));
  const uint64_t module = vm.at<le64>(info + 16);
  CHECK(vm.holds(vm.at<le64>(module), initrd));
  CHECK(vm.at<le64>(module + 8) == le64(5000));
  CHECK(vm.text(vm.at<le64>(info + 24)) == "console=ttyS0");
  CHECK(vm.at<le64>(info + 32) == le64(kRsdp));
  const uint64_t map = vm.at<le64>(info + 40);
  REQUIRE(vm.at<le32>(info + 48) == le32(4));
  CHECK(vm.at<le64>(map + 3 * 24) == le64(MiB));
  CHECK(vm.at<le64>(map + 3 * 24 + 8) == le64(63 * MiB));
  CHECK(vm.at<le32>(map + 3 * 24 + 16) == le32(1));
}

TEST_CASE("a PVH entry outside the kernel is refused") {
  Vm vm;
  vm.kernel(make_elf({.notes = testing::pvh_note(0x7000)}));
  CHECK_THAT(vm.error(), Contains("entry point lies in none of its segments"));
}

TEST_CASE("a multiboot kernel's command line begins with its name") {
  Vm vm;
  testing::TestSegment segment;
  poke(segment.content, 0, le32(0x1badb002));
  poke(segment.content, 4, le32(3));
  poke(segment.content, 8, le32(-0x1badb005U));
  vm.kernel(make_elf({.is_64bit = false, .segments = {segment}}));
  vm.initrd(cpio(5000));
  const EntryState entry = vm.load().entry;
  CHECK(entry.rip == 16 * MiB + 0x40);
  CHECK(vm.text(vm.at<le32>(entry.rbx + 16)) == "kernel console=ttyS0");
  CHECK(vm.at<le32>(entry.rbx + 20) == le32(1));
}

TEST_CASE("a module of a program that is not Linux may be anything") {
  Vm vm;
  vm.kernel(make_elf({.is_64bit = false, .notes = testing::pvh_note(16 * MiB + 0x10)}));
  vm.initrd(testing::pattern(100, 5));
  CHECK(vm.error() == "accepted");
  CHECK(vm.warnings.empty());
}

TEST_CASE("a 32-bit program may lie anywhere in low memory") {
  Vm vm;
  vm.boot.cmdline = "hello";
  // All that a 64-bit entry would need, and the page of the ELF header as linkers place it.
  const auto elf = [](uint64_t address, uint64_t size) {
    testing::TestSegment low{
        .address = address, .content = testing::pattern(64), .memory_size = size};
    testing::TestSegment high{.address = MiB};
    poke(high.content, 0, le32(0x1badb002));
    poke(high.content, 4, le32(0));
    poke(high.content, 8, le32(-0x1badb002U));
    return make_elf({.is_64bit = false, .entry = MiB + 0x40, .segments = {low, high}});
  };
  const auto [address, size] = GENERATE(
      std::pair<uint64_t, uint64_t>{0x8000, 0x1000}, std::pair<uint64_t, uint64_t>{0xff000, 0x1000},
      std::pair<uint64_t, uint64_t>{0, 0x9fc00}, std::pair<uint64_t, uint64_t>{0x10000, 0x30000});
  vm.kernel(elf(address, size));
  vm.initrd(testing::pattern(100, 5));
  const EntryState entry = vm.load().entry;
  CHECK(vm.holds(address, testing::pattern(64)));
  const auto outside = [&, address = address, size = size](uint64_t place) {
    return place < address || place >= address + size;
  };
  CHECK(outside(entry.rbx));
  CHECK(outside(entry.rsp));
  CHECK(outside(entry.gdt.base));
  const uint64_t cmdline = vm.at<le32>(entry.rbx + 16);
  CHECK(outside(cmdline));
  CHECK(vm.holds(cmdline, bytes_of_text("kernel hello")));
}

TEST_CASE("Linux is known by its form and its notes") {
  Vm vm;
  const auto linux_by = [&](const Bytes& bytes) {
    vm.kernel(bytes);
    return is_linux(vm.boot);
  };
  CHECK(linux_by(make_bzimage({})));
  CHECK(linux_by(linux_elf()));
  CHECK_FALSE(linux_by(make_elf({})));
  CHECK_FALSE(linux_by(make_elf({.notes = testing::pvh_note(16 * MiB + 0x10)})));
  CHECK_FALSE(linux_by(testing::pattern(10'000)));
}

TEST_CASE("what cannot be loaded says what, which and why") {
  Vm vm;
  SECTION("no kernel") {
    vm.boot.kernel = vm.dir.path() / "none";
    CHECK_THAT(vm.error(), Contains("kernel '") && Contains("/none' is missing"));
  }
  SECTION("an empty kernel") {
    vm.kernel({});
    CHECK_THAT(vm.error(), Contains("is empty"));
  }
  SECTION("a kernel that is none") {
    vm.kernel(testing::pattern(10'000));
    CHECK_THAT(vm.error(), Contains("is no kernel of a known form"));
  }
  SECTION("a kernel of one byte") {
    vm.kernel(Bytes(1));
    CHECK_THAT(vm.error(), Contains("is no kernel of a known form"));
  }
  SECTION("a truncated bzImage") {
    Bytes image = make_bzimage({.payload = testing::pack_gzip(linux_elf())});
    image.resize(image.size() - 100);
    vm.kernel(image);
    CHECK_THAT(vm.error(), Contains("is truncated"));
  }
  SECTION("a corrupt payload") {
    Bytes payload = testing::pack_xz(linux_elf());
    payload[payload.size() / 2] ^= std::byte{1};
    vm.kernel(make_bzimage({.payload = payload}));
    CHECK_THAT(vm.error(), Contains("is corrupt") && Contains("xz"));
  }
  SECTION("a kernel larger than memory") {
    vm.kernel(make_elf({.segments = {{.memory_size = 49 * MiB}}}));
    CHECK_THAT(vm.error(), Contains("does not fit in memory") && Contains("more memory"));
  }
  SECTION("a packed kernel") {
    vm.kernel(testing::pack_gzip(linux_elf()));
    CHECK_THAT(vm.error(), Contains("is packed by gzip: unpack it first"));
  }
  vm.kernel(linux_elf());
  SECTION("no initrd") {
    vm.boot.initrd = vm.dir.path() / "none";
    CHECK_THAT(vm.error(), Contains("initrd '") && Contains("is missing"));
  }
  SECTION("an empty initrd") {
    vm.initrd({});
    CHECK_THAT(vm.error(), Contains("initrd '") && Contains("is empty"));
  }
  SECTION("an initrd larger than memory") {
    vm.initrd({});
    fs::resize_file(vm.boot.initrd, 64 * MiB);
    CHECK_THAT(vm.error(), Contains("initrd '") && Contains("give the machine more memory"));
    fs::resize_file(vm.boot.initrd, 1ull << 40);
    CHECK_THAT(vm.error(),
               Contains("initrd '") && Contains("must end below 2048 MiB, the limit of"));
    vm.kernel(make_elf({.is_64bit = false, .notes = testing::pvh_note(16 * MiB + 0x10)}));
    CHECK_THAT(vm.error(), Contains("must end below 3072 MiB, where the RAM below 4 GiB ends"));
  }
  SECTION("a long command line") {
    vm.boot.cmdline = std::string(2048, 'x');
    CHECK_THAT(vm.error(), Contains("2048 characters") && Contains("2047"));
    vm.boot.cmdline.pop_back();
    CHECK(vm.error() == "accepted");
  }
  SECTION("a zero in the command line") {
    vm.boot.cmdline = std::string("a\0b", 3);
    CHECK_THAT(vm.error(), Contains("zero character"));
  }
}

TEST_CASE("the header's own limits hold") {
  Vm vm;
  Bytes image = make_bzimage({.payload = testing::pack_gzip(linux_elf())});
  SECTION("for the command line") {
    poke(image, 0x238, le32(10));
    vm.kernel(image);
    CHECK_THAT(vm.error(), Contains("13 characters") && Contains("takes 10 at most"));
    poke(image, 0x238, le32(0xffffffff));
    vm.kernel(image);
    vm.boot.cmdline = std::string(65536, 'x');
    CHECK_THAT(vm.error(), Contains("takes 65535 at most"));
  }
  SECTION("for the initrd's address") {
    poke(image, 0x22c, le32(8 * MiB - 1));
    vm.kernel(image);
    vm.initrd(cpio(100));
    vm.load();
    CHECK(vm.param32(0x218) == 8 * MiB - 4096);
  }
}

TEST_CASE("an initrd that is no archive is loaded, with a warning") {
  Vm vm;
  vm.kernel(linux_elf());
  vm.initrd(cpio(100));
  vm.load();
  CHECK(vm.warnings.empty());
  vm.memory.clear();
  vm.initrd(testing::pattern(100, 5));
  vm.load();
  REQUIRE(vm.warnings.size() == 1);
  CHECK_THAT(vm.warnings[0], Contains("is no cpio archive"));
}

TEST_CASE("any byte of a kernel's headers may be wrong") {
  Vm vm;
  const auto survives = [&](const Bytes& good, size_t end) {
    for (size_t at = 0; at < end; ++at) {
      for (const auto value : {0x00, 0x7f, 0xff}) {
        Bytes bytes = good;
        bytes[at] = static_cast<std::byte>(value);
        vm.kernel(bytes);
        vm.error();
      }
    }
    vm.kernel(good);
    vm.memory.clear();
    return vm.error();
  };
  SECTION("ELF") {
    CHECK(survives(linux_elf(), 0xe0) == "accepted");
  }
  SECTION("bzImage") {
    const Bytes image = make_bzimage({.payload = testing::pack_lz4(linux_elf())});
    CHECK(survives(image, 0x270) == "accepted");
  }
}

TEST_CASE("virtio_mmio.device= parameters name every such device") {
  const std::vector<AcpiDevice> devices{
      {.hid = kVirtioMmioHid, .address = 0xd0000000, .length = 0x1000, .gsi = 23},
      {.hid = "PNP0501", .address = 0x3f8, .length = 8, .gsi = 4},
      {.hid = kVirtioMmioHid, .address = 0xd0001000, .length = 0x1000, .gsi = 22}};
  CHECK(
      with_virtio_mmio("quiet -- x", devices) ==
      "virtio_mmio.device=0x1000@0xd0000000:23 virtio_mmio.device=0x1000@0xd0001000:22 quiet -- x");
  CHECK(with_virtio_mmio("quiet", {}) == "quiet");
}

TEST_CASE("a framebuffer is told by screen_info, as firmware leaves it") {
  Vm vm;
  vm.kernel(make_bzimage({.payload = testing::pack_gzip(linux_elf())}));
  vm.boot.framebuffer = LinearFramebuffer{.address = 0xe0000000, .width = 1280, .height = 720};
  vm.load();
  const auto param16 = [&](uint64_t at) -> uint32_t {
    return vm.at<le16>(layout::kBootParams + at);
  };
  CHECK(vm.param8(0x0f) == 0x70);
  CHECK(vm.param8(0x07) == 0);  // no columns of text: no VGA
  CHECK(param16(0x12) == 1280);
  CHECK(param16(0x14) == 720);
  CHECK(param16(0x16) == 32);
  CHECK(vm.param32(0x18) == 0xe0000000);
  CHECK(vm.param32(0x1c) == 1280 * 720 * 4);
  CHECK(param16(0x24) == 1280 * 4);
  CHECK(vm.param32(0x26) == 0x08081008);  // sizes and positions: red 8 at 16, green 8 at 8
  CHECK(vm.param32(0x2a) == 0x18080008);  // blue 8 at 0, unused 8 at 24
  CHECK(param16(0x32) == 1);
  CHECK(vm.param32(0x36) == 0);
  CHECK(vm.param32(0x3a) == 0);
}

TEST_CASE("a vmlinux is told of the framebuffer, too") {
  Vm vm;
  vm.kernel(linux_elf());
  vm.boot.framebuffer = LinearFramebuffer{.address = 0xe0000000, .width = 640, .height = 480};
  vm.load();
  CHECK(vm.param8(0x0f) == 0x70);
}

TEST_CASE("the screen is a console, and another stays the main one") {
  CHECK(with_screen_console("") == "console=tty0");
  CHECK(with_screen_console("quiet") == "console=tty0 quiet");
  CHECK(with_screen_console("console=ttyS0 quiet -- x") == "console=tty0 console=ttyS0 quiet -- x");
  CHECK(with_screen_console("xconsole=tty0") == "console=tty0 xconsole=tty0");
  for (const std::string own : {"console=tty0", "console=tty", "console=ttyS0 console=tty1",
                                "console=tty0 console=ttyS0,115200", "a console=tty b"})
    CHECK(with_screen_console(own) == own);
}

// VIREO_TEST_KERNEL names a distribution's bzImage.
TEST_CASE("a stock kernel is loaded, from the cache as from its package") {
  const char* path = std::getenv("VIREO_TEST_KERNEL");
  if (path == nullptr) {
    WARN("VIREO_TEST_KERNEL is not set: not tried");
    return;
  }
  const TempDir cache;
  GuestMemory first({.size = 256 * MiB}), second({.size = 256 * MiB}), third({.size = 256 * MiB});
  LinuxBoot boot{.kernel = path, .cache = cache.path() / "vireo"};
  const EntryState entry = load_linux(first, boot, kRsdp).entry;
  CHECK(entry.rip >= 16 * MiB);
  CHECK(load_linux(second, boot, kRsdp).entry.rip == entry.rip);
  CHECK(std::ranges::equal(first.range(0, 256 * MiB).value(), second.range(0, 256 * MiB).value()));
  boot.unpack = Unpack::never;
  CHECK(load_linux(third, boot, kRsdp).entry.rip == MiB + 0x200);
}

}  // namespace vireo
