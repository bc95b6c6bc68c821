#include "guest-tests/linux_machine.h"

#include <array>
#include <cstdio>
#include <stdexcept>
#include <utility>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "vireo/console_backend.h"

namespace vireo::guest_tests {

namespace {

std::filesystem::path directory_of(const LinuxOptions& options) {
  return std::filesystem::path(VIREO_LINUX_GUESTS) / options.kernel;
}

pc::PcSpec spec_of(const LinuxOptions& options) {
  const std::filesystem::path guest = directory_of(options);
  pc::PcSpec spec{
      .memory = options.memory,
      .vcpus = options.vcpus,
      .boot = {.kernel = guest / "vmlinuz",
               .initrd = guest / "initrd",
               .cmdline = "console=ttyS0 quiet panic=-1 pci=off COLUMNS=1000 " + options.append},
      .smbios = options.smbios,
      .disks = options.disks,
      .cdroms = options.cdroms,
      .shares = options.shares,
      .irqchip = VmConfig::Irqchip::apic,
      .no_reboot = !options.reboot};
  for (size_t i = 0; i < spec.disks.size(); ++i)
    spec.disks[i].id = "vd" + std::string(1, static_cast<char>('a' + i));
  if (options.screen) spec.display = pc::DisplaySpec{.mode = *options.screen};
  return spec;
}

pc::PcHost host_of(const Console& console) {
  return {.backend = [&console](const auto&, const auto&) { return backend_of(console); }};
}

}  // namespace

LinuxMachine::LinuxMachine(const LinuxOptions& options)
    : guest_(directory_of(options)),
      machine_(machine_config(spec_of(options))),
      pc_(build_pc(machine_, spec_of(options), host_of(console_))) {}

LinuxMachine::LinuxMachine(Snapshot snapshot, const LinuxOptions& options)
    : guest_(directory_of(options)),
      machine_(machine_config(spec_of(options)), std::move(snapshot)),
      pc_(rebuild_pc(machine_, spec_of(options), host_of(console_))) {}

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
    } catch (const ExpectError& error) {
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
