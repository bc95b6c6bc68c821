// A whole machine, described: a value with defaults, from which build_pc() (build.h) makes it.
//
//   PcSpec spec;
//   spec.boot.kernel = "vmlinuz";
//   spec.memory = 2 * GiB;
//   spec.disks.push_back(parse_disk("debian.qcow2"));
//
// The same description is a command line and a JSON text (config.h): each key is stated once, in
// keys_of() here and in boot.h, cdrom.h, disk.h, net.h, share.h, smbios.h and display.h.
// Any thread. Files, addresses and devices that it names are not looked at. Errors: ConfigError of
// one sentence that names the key.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "devices/chardev/open.h"
#include "devices/pc/boot.h"
#include "devices/pc/cdrom.h"
#include "devices/pc/disk.h"
#include "devices/pc/display.h"
#include "devices/pc/keys.h"
#include "devices/pc/net.h"
#include "devices/pc/share.h"
#include "devices/pc/smbios.h"
#include "vmm/boot/linux.h"
#include "vmm/vm.h"

namespace vireo::pc {

struct PcSpec {
  std::string name{};  // of the machine; may be empty
  uint64_t memory = 256 * MiB;
  uint32_t vcpus = 1;      // 1..kMaxVcpus
  LinuxBoot boot{};        // without a kernel, a firmware starts what is on a disk
  std::string firmware{};  // its file; empty: find_firmware()
  BootSpec boot_from{};    // what that firmware tries
  SmbiosInfo smbios{};     // what the machine tells of itself
  std::vector<DiskSpec> disks{};
  std::vector<CdromSpec> cdroms{};
  std::vector<NetInterface> nets{};
  std::vector<ShareSpec> shares{};
  std::optional<DisplaySpec> display{};
  std::optional<dev::CharSpec> serial{};       // of the first serial port; none: nothing
  std::optional<dev::CharSpec> console{};      // of the virtio console; none: there is none
  std::optional<VmConfig::Irqchip> irqchip{};  // none: what suits the kernel
  bool no_reboot = false;                      // the guest's reset ends the machine
  bool debug_exit = false;                     // a port by which the guest ends it
  bool virtio_cmdline = false;  // the kernel is told of its disks by its command line
};

inline bool has_firmware(const PcSpec& spec) {
  return spec.boot.kernel.empty();
}

// What is one word each.
Keys keys_of(PcSpec& spec);

// What there may be several of, and the screen and what is started, which there is one of: how to
// add one, by the name of its option, which is its key in JSON.
struct PartKind {
  Key key;
  std::string_view bare_key;  // of its text (pairs_of()); empty: there is none
  std::string_view name_key;  // the key that tells one from another; empty: there is only one
  std::string_view heading;   // of its keys in the help
  bool can_be_none;           // the word "none" says that there is none
  // Of the one that is there, more keys. `of` begins messages. Throws ConfigError.
  void (*add)(PcSpec& spec, std::string_view of, const std::vector<Pair>& pairs);
  void (*remove)(PcSpec& spec, std::string_view name);  // the one of that name, if there is one
  void (*clear)(PcSpec& spec);
  std::vector<Json> (*json)(const PcSpec& spec);
  std::string (*help)();
  std::vector<Keys::Description> (*keys)();  // those that one of it may have
};
// In the order in which they are built.
std::span<const PartKind> part_kinds();

// What no part by itself can tell: names that come twice, two users of the terminal.
void check(const PcSpec& spec);

}  // namespace vireo::pc
