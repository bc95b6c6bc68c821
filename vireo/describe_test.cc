#include "vireo/describe.h"

#include <catch2/catch.hpp>

#include "devices/pc/config.h"
#include "vireo/error.h"

namespace vireo {

TEST_CASE("a description in C++ is the one of the command line") {
  CHECK(config_text(spec_of({.name = "web",
                             .uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
                             .memory = 2 * GiB,
                             .cpus = 2,
                             .kernel = "vmlinuz",
                             .initrd = "initrd",
                             .append = "quiet",
                             .kernel_unpack = "never",
                             .disk = {"a.img,id=a"},
                             .cdrom = {"a.iso,id=c", ""},
                             .net = {"user,id=n"},
                             .share = {"src,tag=t"},
                             .display = {"vnc=127.0.0.1:5900", "mode=800x600"},
                             .smbios = {"type=1,serial=S1"},
                             .serial = "null",
                             .console = "file:log",
                             .irqchip = "pc",
                             .virtio_cmdline = true,
                             .no_reboot = true,
                             .debug_exit = true})) == config_text(pc::parse_config("here", R"({
          "version": 1, "name": "web",
          "uuid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "smbios": [{"type": 1, "serial": "S1"}],
          "memory": "2G", "cpus": 2, "kernel": "vmlinuz",
          "initrd": "initrd", "append": "quiet", "kernel-unpack": "never",
          "disk": ["a.img,id=a"], "cdrom": [{"path": "a.iso", "id": "c"}, ""],
          "net": ["user,id=n"], "share": ["src,tag=t"],
          "display": {"vnc": "127.0.0.1:5900", "mode": "800x600"}, "serial": "null",
          "console": "file:log", "irqchip": "pc", "virtio-cmdline": true, "no-reboot": true,
          "debug-exit": true})")));
}

TEST_CASE("a description in C++ has a firmware in place of a kernel") {
  CHECK(config_text(spec_of(
            {.firmware = "bios", .disk = {"a.img"}, .boot = {"order=dc", "once=d,menu=on"}})) ==
        config_text(pc::parse_config("here", R"({
          "version": 1, "firmware": "bios", "disk": ["a.img,id=disk0"],
          "boot": {"order": "dc", "once": "d", "menu": true}})")));
}

TEST_CASE("what a description does not say is as it is by default") {
  CHECK(config_text(spec_of({})) == pc::config_text({}));
}

// A key that is added to the language is to be added to Description, too.
TEST_CASE("a description in C++ can say all") {
  pc::PcSpec spec;
  CHECK(keys_of(spec).names() ==
        std::vector<std::string>{"kernel", "initrd", "append", "kernel-unpack", "firmware", "cpus",
                                 "memory", "name", "uuid", "serial", "console", "irqchip",
                                 "virtio-cmdline", "no-reboot", "debug-exit"});
  CHECK(pc::part_kinds().size() == 7);
}

TEST_CASE("what is wrong with a description is told with the option's name") {
  const auto refused = [](const Description& description, const char* why) {
    CHECK_THROWS_WITH(spec_of(description), Catch::StartsWith(why));
    CHECK_THROWS_AS(spec_of(description), ConfigError);
  };
  refused({.cpus = 0}, "cpus: ");
  refused({.disk = {"a.img,colour=red"}}, "disk: ");
  refused({.cdrom = {"a.iso,readonly=on"}}, "cdrom: ");
  refused({.serial = "tty"}, "serial: ");
}

}  // namespace vireo
