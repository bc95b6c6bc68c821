#include "guest-tests/linux_machine.h"

#include <array>
#include <cstdio>
#include <stdexcept>
#include <utility>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "devices/legacy/i8042.h"
#include "devices/legacy/rtc.h"
#include "devices/legacy/uart.h"
#include "devices/virtio/add.h"
#include "devices/virtio/rng.h"

namespace vireo::guest_tests {

namespace {

MachineConfig config_of(const LinuxOptions& options) {
  return {.memory = {.size = options.memory}, .vcpus = options.vcpus, .reboot = options.reboot};
}

std::filesystem::path directory_of(const LinuxOptions& options) {
  return std::filesystem::path(VIREO_LINUX_GUESTS) / options.kernel;
}

}  // namespace

LinuxMachine::LinuxMachine(const LinuxOptions& options)
    : guest_(directory_of(options)), machine_(config_of(options)) {
  add_devices(options);
  LinuxBoot boot{.kernel = guest_ / "vmlinuz",
                 .initrd = guest_ / "initrd",
                 .cmdline = "console=ttyS0 quiet panic=-1 pci=off COLUMNS=1000 " + options.append};
  if (display_) {
    boot.framebuffer = display_->screen.boot_information();
    boot.cmdline = with_screen_console(boot.cmdline);
  }
  machine_.boot(std::move(boot));
}

LinuxMachine::LinuxMachine(Snapshot snapshot, const LinuxOptions& options)
    : guest_(directory_of(options)), machine_(config_of(options), std::move(snapshot)) {
  add_devices(options);
}

void LinuxMachine::add_devices(const LinuxOptions& options) {
  power_ = &machine_.add<dev::AcpiPower>("power");
  machine_.add<dev::Uart>("com1", console_.backend());
  machine_.add<dev::Rtc>("rtc", std::chrono::system_clock::now);
  if (options.screen)
    display_.emplace(dev::add_display(machine_, *options.screen));
  else
    machine_.add<dev::I8042>("i8042");
  dev::add_virtio<dev::Rng>(machine_, "rng0");
  for (const LinuxDisk& disk : options.disks) add_disk(disk);
  for (const dev::P9Config& share : options.shares)
    dev::add_virtio_at<dev::P9>(machine_, machine_.add_loop(), share.tag, share);
}

void LinuxMachine::add_disk(const LinuxDisk& disk) {
  const std::string name = "vd" + std::string(1, static_cast<char>('a' + disks_.size()));
  DeviceEnv& env = machine_.env();
  EventLoop& home = disk.iothread ? machine_.add_loop() : env.loop;
  auto opened = block_on(home, blk::open_disk({home, env.pool}, name, disk.spec));
  disks_.push_back(
      &dev::add_virtio_at<dev::Blk>(machine_, home, name, std::move(opened), disk.config));
}

std::filesystem::path LinuxMachine::vmlinux() const {
  return std::filesystem::canonical(guest_ / "vmlinuz").parent_path() / "vmlinux";
}

std::string LinuxMachine::expect(const std::string& text) {
  constexpr std::chrono::milliseconds kLook{100};
  const auto deadline = std::chrono::steady_clock::now() + 2 * kPatience;
  while (true) {
    const auto end = machine_.wait_until(std::chrono::steady_clock::now());
    try {
      return console_.expect(text, end ? std::chrono::milliseconds(0) : kLook);
    } catch (const dev::ExpectError& error) {
      if (end)
        throw std::runtime_error(fmt::format("{}\nthe machine had ended: {} {}", error.what(),
                                             static_cast<int>(end->reason), end->detail));
      if (std::chrono::steady_clock::now() > deadline) throw;
    }
  }
}

void LinuxMachine::come_up() {
  machine_.start();
  expect(kPrompt);
}

std::string LinuxMachine::run(const std::string& command) {
  type(command);
  expect(command);
  std::string output = expect(kPrompt);
  std::erase(output, '\r');
  const size_t begin = output.find('\n') + 1;
  return output.substr(begin, output.rfind(kPrompt) - begin);
}

End LinuxMachine::wait() {
  auto end = machine_.wait_until(std::chrono::steady_clock::now() + 2 * kPatience);
  INFO(console_.transcript());
  REQUIRE(end);
  return *end;
}

std::string output_of(const std::string& command) {
  std::FILE* const pipe = ::popen(("{ " + command + "; } 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  for (std::array<char, 4096> part; const size_t n = std::fread(part.data(), 1, part.size(), pipe);)
    output.append(part.data(), n);
  const int status = ::pclose(pipe);
  INFO(command << ": " << output);
  CHECK(status == 0);
  return output;
}

}  // namespace vireo::guest_tests
