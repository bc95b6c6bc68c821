// Debian's kernels as guests: what a machine does for them.
#include <cstdlib>

#include <catch2/catch.hpp>

#include "guest-tests/linux_machine.h"

namespace vireo::guest_tests {
namespace {

namespace fs = std::filesystem;

fs::path make_ext4(const TemporaryDirectory& directory) {
  const fs::path image = directory.path() / "disk.img";
  output_of("truncate --size=64M " + image.string() + " && mke2fs -q -F -t ext4 " + image.string());
  return image;
}

double uptime(LinuxMachine& machine) {
  return std::strtod(machine.run("cat /proc/uptime").c_str(), nullptr);
}

TEST_CASE("a guest with a disk is saved and goes on in a new machine") {
  const TemporaryDirectory directory;
  const fs::path image = make_ext4(directory);
  const LinuxOptions options{.disks = {{.image = {.location = image, .format = "raw"}}},
                             .append = "vireo.mount=/dev/vda:/disk"};
  const fs::path saved = directory.path() / "saved";
  double before = 0;
  {
    LinuxMachine machine(options);
    machine.come_up();
    CHECK(machine.run("nproc") == "1\n");
    machine.run("echo before >/disk/before; sync; echo unwritten >/disk/cached; cd /");
    machine.run("(sleep 3; echo timer is over) &");
    before = uptime(machine);
    machine.machine().pause();
    machine.machine().save(saved);
  }
  LinuxMachine machine(Snapshot::open(saved), options);
  machine.machine().start();
  machine.expect("timer is over");
  machine.type("");
  machine.expect(kPrompt);
  const double after = uptime(machine);
  CHECK(after > before);
  CHECK(after < before + 600);  // the guest did not see the time it did not run
  CHECK(machine.run("cat /disk/before /disk/cached") == "before\nunwritten\n");
  machine.run("echo after >/disk/after; sync");
  machine.type("exit");
  CHECK(machine.wait().reason == End::Reason::power_off);
  output_of("e2fsck -fn " + image.string());
  CHECK_THAT(output_of("debugfs -R 'cat /cached' " + image.string()), Catch::Contains("unwritten"));
  CHECK_THAT(output_of("debugfs -R 'cat /after' " + image.string()), Catch::Contains("after"));
}

TEST_CASE("the full kernel on four processors and 6 GiB reboots, and heeds the power button") {
  LinuxMachine machine({.kernel = "full", .vcpus = 4, .memory = 6 * GiB, .reboot = true});
  machine.come_up();
  CHECK(machine.run("nproc") == "4\n");
  CHECK(std::stoull(machine.run("sed -n 's/MemTotal: *//p' /proc/meminfo")) > 5'800'000);
  machine.type("reboot -f");
  machine.expect("vireo-guest: ready");
  machine.expect(kPrompt);
  CHECK(machine.run("nproc") == "4\n");
  machine.power().press_power_button();
  machine.expect("vireo-guest: power button");
  CHECK(machine.wait().reason == End::Reason::power_off);
}

TEST_CASE("the cloud kernel finds who its machine is, and its panic is a reset") {
  const std::string uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
  SmbiosInfo smbios{.uuid = pc::parse_uuid(uuid)};
  smbios.system.serial = "S-1";
  LinuxMachine machine({.vcpus = 4, .smbios = smbios});
  machine.come_up();
  CHECK(machine.run("nproc") == "4\n");
  CHECK(machine.run("cat /sys/class/dmi/id/product_uuid") == uuid + "\n");
  CHECK(machine.run("cat /sys/class/dmi/id/product_serial") == "S-1\n");
  machine.type("echo c >/proc/sysrq-trigger");
  machine.expect("Kernel panic");
  CHECK(machine.wait().reason == End::Reason::reset);
}

TEST_CASE("a full kernel that hangs is stopped by the host") {
  LinuxMachine machine({.kernel = "full"});
  machine.come_up();
  machine.type("trap '' HUP TERM; echo spinning; while :; do :; done");
  machine.expect("spinning\r\n");
  CHECK_FALSE(
      machine.machine().wait_until(std::chrono::steady_clock::now() + std::chrono::seconds(2)));
  machine.machine().stop();
  CHECK(machine.wait().reason == End::Reason::stopped);
}

}  // namespace
}  // namespace vireo::guest_tests
