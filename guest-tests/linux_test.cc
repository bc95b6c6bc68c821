// Debian's kernels as guests, through the public interface: tools/lib/linux-guests puts the kernels
// and their initrds where VIREO_LINUX_GUESTS says.
#include <array>
#include <cstdio>
#include <cstdlib>

#include <catch2/catch.hpp>

#include "blockdev/open.h"
#include "devices/legacy/i8042.h"
#include "devices/legacy/rtc.h"
#include "devices/legacy/uart.h"
#include "devices/virtio/add.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/rng.h"
#include "guest-tests/harness.h"

namespace vireo::guest_tests {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrompt = "vireo:/# ";

struct LinuxOptions {
  std::string kernel = "cloud";
  uint32_t vcpus = 1;
  uint64_t memory = 128 * MiB;
  fs::path disk{};  // mounted on /disk
  bool reboot = false;
};

// A machine as `vireo run` makes it, at a shell on its serial port.
class LinuxMachine {
 public:
  explicit LinuxMachine(const LinuxOptions& options) : machine_(config_of(options)) {
    add_devices(options);
    const fs::path guest = fs::path(VIREO_LINUX_GUESTS) / options.kernel;
    const std::string mount = options.disk.empty() ? "" : " vireo.mount=/dev/vda:/disk";
    machine_.boot({.kernel = guest / "vmlinuz",
                   .initrd = guest / "initrd",
                   .cmdline = "console=ttyS0 quiet panic=-1 pci=off" + mount});
  }
  LinuxMachine(Snapshot snapshot, const LinuxOptions& options)
      : machine_(config_of(options), std::move(snapshot)) {
    add_devices(options);
  }

  Machine& machine() noexcept { return machine_; }
  dev::AcpiPower& power() noexcept { return *power_; }

  std::string expect(const std::string& text) {
    constexpr std::chrono::milliseconds kLook{100};
    const auto deadline = std::chrono::steady_clock::now() + 2 * kPatience;
    while (true) {
      const bool ended = machine_.wait_until(std::chrono::steady_clock::now()).has_value();
      try {
        return console_.expect(text, ended ? std::chrono::milliseconds(0) : kLook);
      } catch (const dev::ExpectError&) {
        if (ended || std::chrono::steady_clock::now() > deadline) throw;
      }
    }
  }
  void come_up() {
    machine_.start();
    expect(kPrompt);
  }
  void type(const std::string& line) { console_.write(line + "\n"); }
  // What the shell prints for a command: its echo is cut off.
  std::string run(const std::string& command) {
    type(command);
    expect(command);
    std::string output = expect(kPrompt);
    std::erase(output, '\r');
    const size_t begin = output.find('\n') + 1;
    return output.substr(begin, output.rfind(kPrompt) - begin);
  }
  End wait() {
    auto end = machine_.wait_until(std::chrono::steady_clock::now() + 2 * kPatience);
    INFO(console_.transcript());
    REQUIRE(end);
    return *end;
  }

 private:
  static MachineConfig config_of(const LinuxOptions& options) {
    return {.memory = {.size = options.memory}, .vcpus = options.vcpus, .reboot = options.reboot};
  }

  void add_devices(const LinuxOptions& options) {
    power_ = &machine_.add<dev::AcpiPower>("power");
    machine_.add<dev::Uart>("com1", console_.backend());
    machine_.add<dev::Rtc>("rtc", std::chrono::system_clock::now);
    machine_.add<dev::I8042>("i8042");
    dev::add_virtio<dev::Rng>(machine_, "rng0");
    if (options.disk.empty()) return;
    DeviceEnv& env = machine_.env();
    auto disk = block_on(env.loop, blk::open_disk({env.loop, env.pool}, "vda",
                                                  {.path = options.disk, .format = "raw"}));
    dev::add_virtio<dev::Blk>(machine_, "vda", std::move(disk), dev::BlkConfig{});
  }

  dev::Ring console_;  // outlives the machine
  Machine machine_;
  dev::AcpiPower* power_ = nullptr;  // the machine's
};

std::string output_of(const std::string& command) {
  std::FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  for (std::array<char, 4096> part; const size_t n = std::fread(part.data(), 1, part.size(), pipe);)
    output.append(part.data(), n);
  const int status = ::pclose(pipe);
  INFO(command << ": " << output);
  CHECK(status == 0);
  return output;
}

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
  const LinuxOptions options{.disk = make_ext4(directory)};
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
  output_of("e2fsck -fn " + options.disk.string());
  CHECK_THAT(output_of("debugfs -R 'cat /cached' " + options.disk.string()),
             Catch::Contains("unwritten"));
  CHECK_THAT(output_of("debugfs -R 'cat /after' " + options.disk.string()),
             Catch::Contains("after"));
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

TEST_CASE("a panic of the cloud kernel on four processors is a reset") {
  LinuxMachine machine({.vcpus = 4});
  machine.come_up();
  CHECK(machine.run("nproc") == "4\n");
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
