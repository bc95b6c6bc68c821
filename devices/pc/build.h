// Makes a PC of its description:
//
//   const PcSpec spec = read_config("vm.json");
//   Vm machine(machine_config(spec));
//   Pc pc = build_pc(machine, spec);
//   machine.start();
//
// Every PC has a serial port (COM1), a clock, a keyboard controller, a power button, a source of
// entropy and what its description names. Thread: control, before start(). Errors: ConfigError for
// what the description names and cannot be had, std::system_error for the host's.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/add_display.h"
#include "devices/chardev/open.h"
#include "devices/legacy/acpi_power.h"
#include "devices/net/mac.h"
#include "devices/pc/spec.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/bus.h"
#include "devices/virtio/console.h"
#include "devices/virtio/scsi.h"
#include "vmm/vm.h"

namespace vireo::pc {

// What a PC gets of the program that it is part of.
struct PcHost {
  // Makes what a port is connected to, of the device of this name ("com1", "console0"). None:
  // dev::make_char_backend().
  std::function<std::unique_ptr<dev::CharBackend>(const std::string& device, const dev::CharSpec&)>
      backend{};
  // Where viewers connect, and the ports that are forwarded: one sentence each.
  std::function<void(const std::string& line)> tell{};
  // Nothing that others can see is made: no viewer is served, no socket bound.
  bool dry = false;
};

// What is in it, as far as others act on it; the machine owns the devices.
struct Pc {
  std::unique_ptr<dev::VirtioBus> virtio{};  // for more devices, before the machine starts
  dev::AcpiPower* power = nullptr;
  dev::Console* console = nullptr;  // none: the description has none
  std::optional<dev::DisplayDevices> display{};
  std::vector<dev::Blk*> disks{};  // those of bus=virtio, in the order of the description
  dev::Scsi* scsi = nullptr;       // none: the description has neither SCSI disks nor CD-ROM drives
  std::vector<std::string> scsi_units{};  // what each of its targets is called
  struct Interface {
    std::string id{};
    std::string network{};  // what it is connected to
    dev::MacAddress mac{};
  };
  std::vector<Interface> nets{};
  BootSource boot{};  // a kernel's with the words that were added to its command line
};

// Looks at the kernel when the description leaves the interrupt controllers to it; throws
// ConfigError when it cannot be read, or there is nothing to start.
VmConfig machine_config(const PcSpec& spec, Logger log = {});

// The machine is made with machine_config() of the same description.
Pc build_pc(Vm& machine, const PcSpec& spec, const PcHost& host = {});
// The same devices for a machine that goes on from a snapshot: nothing is booted.
Pc rebuild_pc(Vm& machine, const PcSpec& spec, const PcHost& host = {});

}  // namespace vireo::pc
