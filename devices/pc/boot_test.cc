#include "devices/pc/boot.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo::pc {
namespace {

BootSpec parse(std::string_view text) {
  BootSpec boot;
  keys_of(boot).assign("--boot", pairs_of(text, ""));
  check("--boot", boot);
  return boot;
}

// Two disks, one of them with an index, and two CDs.
std::string order_of(std::string_view text, bool first = true) {
  return boot_order(parse(text),
                    {{.kind = BootDevice::cd, .path = "cd0"},
                     {.path = "disk0"},
                     {.kind = BootDevice::cd, .path = "cd1"},
                     {.path = "disk1"}},
                    first);
}

}  // namespace

TEST_CASE("disks are tried before CDs, unless the order says other") {
  CHECK(order_of("menu=off") == "disk0\ndisk1\ncd0\ncd1");
  CHECK(order_of("order=dc") == "cd0\ncd1\ndisk0\ndisk1");
  CHECK(order_of("order=d") == order_of("order=dc"));
  CHECK(boot_order({}, {}, true).empty());
}

TEST_CASE("what is started once comes first until the machine is reset") {
  CHECK(order_of("once=d") == "cd0\ncd1\ndisk0\ndisk1");
  CHECK(order_of("once=d", false) == order_of("menu=off"));
  CHECK(order_of("order=dc,once=c", false) == order_of("order=dc"));
}

TEST_CASE("a bootindex goes before the order, and behind what is started once") {
  const std::vector<BootDevice> devices{{.path = "none"},
                                        {.bootindex = 2, .path = "two"},
                                        {.kind = BootDevice::cd, .path = "cd"},
                                        {.bootindex = 0, .path = "zero"}};
  CHECK(boot_order(parse("order=dc"), devices, true) == "zero\ntwo\ncd\nnone");
  CHECK(boot_order(parse("once=d"), devices, true) == "cd\nzero\ntwo\nnone");
  CHECK(boot_order(parse("once=d"), devices, false) == "zero\ntwo\nnone\ncd");
}

TEST_CASE("a BIOS knows a disk by the address of its registers") {
  CHECK(disk_path(0xc0001000) == "/virtio-mmio@00000000c0001000/disk@0,0");
  CHECK(scsi_path(0xc0001000, 12) == "/virtio-mmio@00000000c0001000/channel@0/disk@c,0");
}

TEST_CASE("the keys of --boot are read, and nonsense is refused") {
  CHECK(parse("order=dc,once=d,menu=on,menu-wait=100") ==
        BootSpec{.order = "dc", .once = "d", .menu = true, .menu_wait = 100});
  const auto refused = [](std::string_view text, const char* why) {
    CHECK_THROWS_WITH(parse(text), Catch::StartsWith("--boot: ") && Catch::Contains(why));
  };
  refused("order=nc", "no driver for the network");
  refused("once=a", "c (disks) and d (CDs)");
  refused("order=cdc", "'c' comes twice");
  refused("menu-wait=100", "menu=on");
  refused("menu=on,menu-wait=70000", "menu-wait");
  refused("d", "'d'");
}

}  // namespace vireo::pc
