#include "devices/pc/spec.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo::pc {
namespace {

const PartKind& kind(std::string_view name) {
  for (const PartKind& each : part_kinds())
    if (each.key.name == name) return each;
  throw std::runtime_error("no such kind");
}

void add(PcSpec& spec, std::string_view name, const std::string& text) {
  kind(name).add(spec, "--x", pairs_of(text, kind(name).bare_key));
}

PcSpec with(std::string_view name, const std::vector<std::string>& texts) {
  PcSpec spec;
  for (const std::string& text : texts) add(spec, name, text);
  return spec;
}

}  // namespace

TEST_CASE("parts without a name get one that nobody has") {
  const PcSpec spec = with("disk", {"a.img", "b.img,id=disk2", "c.img"});
  CHECK(spec.disks[0].id == "disk0");
  CHECK(spec.disks[2].id == "disk3");
  CHECK(with("net", {"user", "tap=a"}).nets[1].id == "net1");
}

TEST_CASE("a part is removed by its name") {
  PcSpec spec = with("disk", {"a.img", "b.img,id=x"});
  kind("disk").remove(spec, "x");
  CHECK(spec.disks.size() == 1);
  add(spec, "share", "src,tag=t");
  kind("share").remove(spec, "t");
  add(spec, "smbios", "type=1,serial=S");
  kind("smbios").remove(spec, "1");
  CHECK(spec.smbios == SmbiosInfo());
  CHECK(spec.shares.empty());
}

TEST_CASE("a CD-ROM drive is a path, or empty") {
  const PcSpec spec = with("cdrom", {"a,,b.iso", "", "path=c.qcow2,format=qcow2,id=third"});
  REQUIRE(spec.cdroms.size() == 3);
  CHECK(spec.cdroms[0].id == "cdrom0");
  CHECK(spec.cdroms[0].image.name() == "a,b.iso");
  CHECK(spec.cdroms[0].image.format == "raw");
  CHECK(spec.cdroms[0].image.read_only);
  CHECK(spec.cdroms[1].id == "cdrom1");
  CHECK(spec.cdroms[1].image.name().empty());
  CHECK(spec.cdroms[2].id == "third");
  CHECK(spec.cdroms[2].image.format == "qcow2");
  PcSpec other = spec;
  kind("cdrom").remove(other, "cdrom1");
  CHECK(other.cdroms.size() == 2);
  kind("cdrom").clear(other);
  CHECK(other.cdroms.empty());
  CHECK_THROWS_WITH(with("cdrom", {"a.iso,readonly=off"}), Catch::Contains("no 'readonly'"));
  CHECK_THROWS_WITH(with("cdrom", {"a.iso,format=vmdk"}), Catch::Contains("raw, qcow2"));
}

TEST_CASE("the keys of a screen come together") {
  const PcSpec spec = with("display", {"vnc=127.0.0.1:5900", "web=127.0.0.1:6080"});
  CHECK(spec.display->server.vnc == "127.0.0.1:5900");
  CHECK(spec.display->server.web == "127.0.0.1:6080");
}

TEST_CASE("what belongs to a kernel needs one, and what belongs to a BIOS none") {
  const auto refuses = [](const PcSpec& spec, const char* why) {
    CHECK_THROWS_WITH(check(spec), Catch::StartsWith(why));
  };
  refuses({.boot = {.initrd = "i"}}, "--initrd: only a kernel is told of it");
  refuses({.boot = {.cmdline = "quiet"}}, "--append");
  refuses({.boot = {.unpack = Unpack::never}}, "--kernel-unpack");
  refuses({.virtio_cmdline = true}, "--virtio-cmdline");
  refuses({.irqchip = VmConfig::Irqchip::apic}, "--irqchip");
  refuses({.boot = {.kernel = "k"}, .boot_from = {.order = "d"}}, "--boot: only a BIOS");
  refuses({.boot = {.kernel = "k"}, .disks = {{.bootindex = 1}}}, "--disk: bootindex: only a BIOS");
  refuses({.boot = {.kernel = "k"}, .firmware = "f"}, "--firmware: a kernel is started without");
  CHECK_NOTHROW(check({.boot = {.kernel = "k", .initrd = "i", .cmdline = "quiet"}}));
  CHECK_NOTHROW(check({.firmware = "f", .irqchip = VmConfig::Irqchip::pc}));
}

TEST_CASE("names come once, and the terminal has one user") {
  const auto refuses = [](const PcSpec& spec, const char* why) {
    CHECK_THROWS_WITH(check(spec), Catch::Contains(why));
  };
  refuses(with("disk", {"a.img,id=x", "b.img,id=x"}), "two disks have the id 'x'");
  refuses(with("cdrom", {"a.iso,id=x", "b.iso,id=x"}), "have the id 'x'");
  PcSpec same = with("disk", {"a.img,id=x"});
  add(same, "cdrom", "b.iso,id=x");
  refuses(same, "a drive and a disk, have the id 'x'");
  refuses(with("net", {"user,id=a", "user,id=a"}), "two interfaces have the id 'a'");
  refuses(with("disk", {"a.img,bootindex=1", "b.img,bootindex=1"}), "have the bootindex '1'");
  const std::string mac = "user,mac=02:00:00:00:00:01";
  refuses(with("net", {mac, mac}), "02:00:00:00:00:01");
  refuses(with("share", {"a,tag=t", "b,tag=t"}), "two shares have the tag 't'");
  const dev::CharSpec stdio{dev::CharSpec::Kind::stdio};
  refuses({.serial = stdio, .console = stdio}, "the terminal is the serial port's");
  CHECK_NOTHROW(check({.serial = stdio}));
}

TEST_CASE("words of a machine are checked") {
  PcSpec spec;
  const Keys keys = keys_of(spec);
  const auto refused = [&](const char* key, const char* value, const std::string& why) {
    CHECK_THROWS_WITH(keys.assign(key, value, std::string("--") + key),
                      Catch::StartsWith(std::string("--") + key) && Catch::Contains(why));
  };
  refused("memory", "4k", "too little");
  refused("memory", "1048577", "multiple of 4096");
  refused("memory", "much", "not a size");
  refused("cpus", "0", "from 1 to 64");
  refused("irqchip", "none", "auto, apic, pc");
  refused("serial", "tty", "no place for a console");
  keys.assign("memory", "2G", "--memory");
  CHECK(spec.memory == 2 * GiB);
}

}  // namespace vireo::pc
