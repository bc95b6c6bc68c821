#include "devices/pc/build.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "devices/display/rfb/password_file.h"
#include "devices/firmware/debug_console.h"
#include "devices/firmware/flash.h"
#include "devices/firmware/ramfb.h"
#include "devices/firmware/system_control.h"
#include "devices/legacy/debug_exit.h"
#include "devices/legacy/i8042.h"
#include "devices/legacy/rtc.h"
#include "devices/legacy/uart.h"
#include "devices/pc/firmware.h"
#include "devices/virtio/mmio_bus.h"
#include "devices/virtio/net.h"
#include "devices/virtio/p9.h"
#include "devices/virtio/rng.h"
#include "vmm/base/error.h"

namespace vireo::pc {

namespace {

// Runs a step whose errors are all about what the description names.
template <class Step>
auto named_step(Step step) {
  return rethrow_as<ConfigError, std::exception>(step);
}

// Most of the descriptors that this process may have, in equal parts.
size_t descriptors_for_shares(size_t shares) {
  constexpr rlim_t kOurs = 128, kLeast = 64, kMost = 1 << 16;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) throw_errno("cannot read the limit of open files");
  const rlim_t spare = limit.rlim_cur > kOurs ? limit.rlim_cur - kOurs : 0;
  return static_cast<size_t>(std::clamp<rlim_t>(spare / shares, kLeast, kMost));
}

// As a dry run opens it: without a socket's file of our own.
dev::NetSpec without_file(dev::NetSpec network) {
  if (auto* const socket = std::get_if<dev::SocketNetConfig>(&network)) socket->local.clear();
  return network;
}

class Builder {
 public:
  Builder(Vm& machine, const PcSpec& spec, const PcHost& host)
      : machine_(machine), spec_(spec), host_(host), kernel_(spec.boot) {}

  Pc build();

 private:
  std::unique_ptr<dev::CharBackend> backend(const std::string& device, const dev::CharSpec& spec);
  void tell(const std::string& line) const {
    if (host_.tell) host_.tell(line);
  }
  void add_identity();
  void add_clock();
  FirmwareInfo firmware_info();
  void add_firmware();
  void add_input();
  void add_ramfb();
  void add_screen(const DisplaySpec& display);
  void serve_viewers(const DisplaySpec& display);
  std::unique_ptr<blk::Disk> open(EventLoop& home, const std::string& id, const blk::Spec& image);
  uint64_t newest_address() const;
  void add_disk(const DiskSpec& disk);
  void add_virtio_disk(const DiskSpec& disk);
  void add_scsi_unit(const scsi::Identity& identity, const blk::Spec& image,
                     const BootDevice& boot);
  void add_scsi();
  void add_net(const NetInterface& interface);
  void add_shares();

  Vm& machine_;
  const PcSpec& spec_;
  const PcHost& host_;
  std::vector<dev::ScsiTarget> scsi_targets_;
  std::vector<size_t> scsi_boots_;  // by target, in boot_devices_
  LinuxBoot kernel_;
  std::vector<BootDevice> boot_devices_;
  dev::Ramfb* ramfb_ = nullptr;  // none without a screen, or with a kernel
  Pc pc_;
};

std::unique_ptr<dev::CharBackend> Builder::backend(const std::string& device,
                                                   const dev::CharSpec& spec) {
  return named_step([&] {
    if (host_.backend) return host_.backend(device, spec);
    return dev::make_char_backend(spec, {.log = machine_.config().log});
  });
}

// A kernel that is started directly finds them only when there is something to tell.
void Builder::add_identity() {
  if (!has_firmware(spec_) && spec_.smbios == SmbiosInfo()) return;
  SmbiosInfo info = spec_.smbios;
  if (info.chassis.asset.empty()) info.chassis.asset = spec_.name;
  auto tables = make_smbios_tables(info, machine_.env().platform.memory, spec_.vcpus);
  kernel_.smbios.emplace(std::move(tables));
}

void Builder::add_clock() {
  dev::Rtc::State power_on;
  if (has_firmware(spec_))
    power_on = cmos_of(machine_.env().platform.memory, spec_.vcpus, spec_.boot_from);
  machine_.add<dev::Rtc>("rtc", std::chrono::system_clock::now, power_on);
}

FirmwareInfo Builder::firmware_info() {
  FirmwareInfo info{.vcpus = spec_.vcpus,
                    .boot = spec_.boot_from,
                    .devices = std::move(boot_devices_),
                    .smbios = std::move(*kernel_.smbios),
                    .gives_up = spec_.no_reboot};
  if (ramfb_ == nullptr) return info;
  info.set_ramfb = [ramfb = ramfb_](std::span<const std::byte> file) { return ramfb->set(file); };
  info.vga_rom = read_vga_rom(known_vga_rom());
  if (info.vga_rom.empty())
    tell("screen: the BIOS speaks on the serial port alone: it has no package seabios");
  return info;
}

void Builder::add_firmware() {
  const std::filesystem::path named(spec_.firmware);
  FirmwareBoot firmware = read_firmware(named.empty() ? find_firmware(known_firmware()) : named);
  machine_.add<dev::Flash>("firmware", firmware.image);
  machine_.add<dev::SystemControl>("system-control");
  machine_.add<dev::DebugConsole>("bios");
  machine_.add<dev::FwCfg>(
      "fw-cfg", [&platform = machine_.env().platform, info = firmware_info()](bool first) {
        return firmware_items(platform, info, first);
      });
  pc_.boot = std::move(firmware);
}

void Builder::add_input() {
  if (spec_.display)
    add_screen(*spec_.display);
  else
    machine_.add<dev::I8042>("i8042");
}

void Builder::add_ramfb() {
  ramfb_ = &machine_.add_at<dev::Ramfb>(pc_.display->loop, "ramfb", pc_.display->screen);
  pc_.display->shown = ramfb_;
}

void Builder::add_screen(const DisplaySpec& display) {
  pc_.display.emplace(dev::add_display(machine_, *pc_.virtio, display.mode));
  if (has_firmware(spec_)) add_ramfb();
  kernel_.framebuffer = pc_.display->screen.boot_information();
  kernel_.cmdline = with_screen_console(kernel_.cmdline);
  const display::RfbConfig& server = display.server;
  if (!host_.dry && !(server.vnc.empty() && server.web.empty())) serve_viewers(display);
}

void Builder::serve_viewers(const DisplaySpec& display) {
  display::RfbConfig server = display.server;
  if (!spec_.name.empty()) server.name = spec_.name;
  if (!display.password_file.empty())
    server.password = named_step(
        [&] { return display::read_password("--display: password-file", display.password_file); });
  server.power_button = [power = pc_.power] { power->press_power_button(); };
  server.log = machine_.config().log;
  try {
    for (const std::string& address : dev::serve_display(machine_, *pc_.display, server))
      tell("screen: " + address);
  } catch (const display::OpenToAllError& error) {
    throw ConfigError(
        fmt::format("--display: {} (here: password-file=FILE, or open=on)", error.what()));
  } catch (const ConfigError& error) {
    throw ConfigError(fmt::format("--display: {}", describe(error)));
  }
}

// Of the registers of what was plugged in last.
uint64_t Builder::newest_address() const {
  return machine_.env().platform.acpi.devices().back().address;
}

std::unique_ptr<blk::Disk> Builder::open(EventLoop& home, const std::string& id,
                                         const blk::Spec& image) {
  const blk::Host host{home, machine_.env().platform.pool, machine_.config().log};
  return block_on(home, blk::open_disk(host, id, image));
}

void Builder::add_disk(const DiskSpec& disk) {
  if (disk.bus == DiskBus::virtio) return add_virtio_disk(disk);
  add_scsi_unit({scsi::UnitKind::disk, disk.serial, disk.id}, disk.image,
                {.bootindex = disk.bootindex});
}

void Builder::add_virtio_disk(const DiskSpec& disk) {
  EventLoop& home = disk.iothread ? machine_.add_loop() : machine_.env().loop;
  auto opened = open(home, disk.id, disk.image);
  dev::BlkConfig config{.serial = disk.serial, .queues = disk.queues};
  if (disk.pauses_when_full)
    config.no_space = [&machine = machine_, path = disk.image.name()](const std::string& why) {
      machine.request_pause(fmt::format("{} for '{}'", why, path));
    };
  pc_.disks.push_back(&pc_.virtio->add_at<dev::Blk>(home, disk.id, std::move(opened), config));
  boot_devices_.push_back({.bootindex = disk.bootindex, .path = disk_path(newest_address())});
}

// The path is not known before the adapter.
void Builder::add_scsi_unit(const scsi::Identity& identity, const blk::Spec& image,
                            const BootDevice& boot) {
  dev::ScsiTarget& target = scsi_targets_.emplace_back();
  target.identity = identity;
  if (!image.name().empty()) target.medium = open(machine_.env().loop, identity.name, image);
  pc_.scsi_units.push_back(identity.name);
  scsi_boots_.push_back(boot_devices_.size());
  boot_devices_.push_back(boot);
}

void Builder::add_scsi() {
  for (const CdromSpec& cdrom : spec_.cdroms)
    add_scsi_unit({scsi::UnitKind::cdrom, "", cdrom.id}, cdrom.image,
                  {.kind = BootDevice::cd, .bootindex = cdrom.bootindex});
  if (scsi_targets_.empty()) return;
  pc_.scsi = &pc_.virtio->add<dev::Scsi>("scsi0", std::move(scsi_targets_));
  for (size_t target = 0; target < scsi_boots_.size(); ++target)
    boot_devices_[scsi_boots_[target]].path = scsi_path(newest_address(), target);
}

void Builder::add_net(const NetInterface& interface) {
  const std::string& id = interface.id;
  const dev::NetSpec wanted = network_of(interface);
  auto network = with_context("--net", [&] {
    return dev::open_net(id, host_.dry ? without_file(wanted) : wanted, machine_.config().log);
  });
  if (!host_.dry)
    for (const std::string& line : network->announcements()) tell(fmt::format("{}: {}", id, line));
  const dev::MacAddress mac =
      interface.mac ? *interface.mac : default_mac(spec_.name, *network, pc_.nets.size());
  pc_.nets.push_back({id, network->description(), mac});
  pc_.virtio->add<dev::Net>(
      id, std::move(network),
      dev::NetConfig{.mac = mac, .mtu = interface.mtu, .rates = interface.rates});
}

void Builder::add_shares() {
  if (spec_.shares.empty()) return;
  const size_t descriptors = descriptors_for_shares(spec_.shares.size());
  for (ShareSpec share : spec_.shares) {
    share.share.descriptors = descriptors;
    share.share.own_loop = true;
    named_step(
        [&] { pc_.virtio->add_at<dev::P9>(machine_.add_loop(), "share-" + share.tag, share); });
  }
}

Pc Builder::build() {
  check(spec_);
  pc_.virtio = std::make_unique<dev::MmioBus>(machine_);
  pc_.power = &machine_.add<dev::AcpiPower>("power");
  machine_.add<dev::Uart>("com1", backend("com1", spec_.serial.value_or(dev::CharSpec{})));
  add_identity();
  add_clock();
  add_input();
  if (spec_.debug_exit) machine_.add<dev::DebugExit>("debug-exit");
  for (const DiskSpec& disk : spec_.disks) add_disk(disk);
  add_scsi();
  for (const NetInterface& interface : spec_.nets) add_net(interface);
  add_shares();
  if (spec_.console)
    pc_.console = &pc_.virtio->add<dev::Console>("console0", backend("console0", *spec_.console));
  pc_.virtio->add<dev::Rng>("rng0");
  if (spec_.virtio_cmdline)
    kernel_.cmdline = with_virtio_mmio(kernel_.cmdline, machine_.env().platform.acpi.devices());
  if (has_firmware(spec_))
    add_firmware();
  else
    pc_.boot = std::move(kernel_);
  return std::move(pc_);
}

void check_start(const PcSpec& spec) {
  if (has_firmware(spec) && spec.firmware.empty() && spec.disks.empty() && spec.cdroms.empty())
    throw ConfigError(
        "there is nothing to start: name a kernel (--kernel FILE), a disk (--disk FILE) or a disc "
        "(--cdrom FILE)");
}

// Linux takes the chips that the tables tell of; other programs expect a PC's.
VmConfig::Irqchip irqchip_of(const PcSpec& spec) {
  using Irqchip = VmConfig::Irqchip;
  if (has_firmware(spec)) return Irqchip::pc;
  if (spec.irqchip) return *spec.irqchip;
  return is_linux(spec.boot) ? Irqchip::apic : Irqchip::pc;
}

}  // namespace

VmConfig machine_config(const PcSpec& spec, Logger log) {
  check_start(spec);
  return {.memory = {.size = spec.memory},
          .vcpus = spec.vcpus,
          .irqchip = irqchip_of(spec),
          .reboot = !spec.no_reboot,
          .reset_on_triple_fault = has_firmware(spec),
          .log = std::move(log)};
}

Pc rebuild_pc(Vm& machine, const PcSpec& spec, const PcHost& host) {
  return Builder(machine, spec, host).build();
}

Pc build_pc(Vm& machine, const PcSpec& spec, const PcHost& host) {
  Pc pc = rebuild_pc(machine, spec, host);
  machine.boot(pc.boot);
  return pc;
}

}  // namespace vireo::pc
