#include "devices/pc/spec.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::pc {

namespace {

void set_memory(uint64_t& memory, const std::string& text) {
  const uint64_t bytes = parse_size("", text);
  // The bounds that need the host are GuestMemory's; these two catch slips of the pen.
  if (bytes < MiB)
    throw ConfigError(fmt::format("{} bytes are too little: write 128M, 2G, …", bytes));
  if (bytes % kPageSize != 0)
    throw ConfigError(fmt::format("{} is not a multiple of {} bytes", text, kPageSize));
  memory = bytes;
}

void add_boot_keys(Keys& keys, LinuxBoot& boot) {
  keys.word(
          {"kernel", "FILE",
           "Kernel: a bzImage, a vmlinux, or an ELF with a PVH note or multiboot header"},
          [&boot](const std::string& text) { boot.kernel = text; },
          [&boot] { return boot.kernel.string(); })
      .word(
          {"initrd", "FILE", "Initial RAM disk"},
          [&boot](const std::string& text) { boot.initrd = text; },
          [&boot] { return boot.initrd.string(); })
      .text({"append", "STR", "The kernel's command line"}, boot.cmdline)
      .choice<Unpack>({"kernel-unpack", "auto|never",
                       "auto: unpack a bzImage on the host and keep it for the next start; never: "
                       "leave it to the guest"},
                      boot.unpack, {{"auto", Unpack::automatic}, {"never", Unpack::never}});
}

Keys& add_chardevs(Keys& keys, PcSpec& spec) {
  constexpr std::string_view kPlaces = "stdio|null|file:PATH|unix:PATH|pty";
  return keys
      .word(
          {"serial", kPlaces, "What the first serial port (ttyS0) is connected to"},
          [&spec](const std::string& text) { spec.serial = dev::parse_char_spec(text); },
          [&spec] { return spec.serial ? to_string(*spec.serial) : ""; })
      .word(
          {"console", kPlaces, "Adds a virtio console (hvc0), connected to this"},
          [&spec](const std::string& text) { spec.console = dev::parse_char_spec(text); },
          [&spec] { return spec.console ? to_string(*spec.console) : ""; });
}

// The first of disk0, disk1, … from its place in the list on that nobody has.
template <class T>
std::string free_id(const std::vector<T>& list, const char* prefix) {
  const auto taken = [&](const std::string& id) {
    return std::any_of(list.begin(), list.end(), [&](const T& other) { return other.id == id; });
  };
  size_t number = list.size();
  while (taken(fmt::format("{}{}", prefix, number))) ++number;
  return fmt::format("{}{}", prefix, number);
}

template <class Part>
void read(std::string_view of, const std::vector<Pair>& pairs, Part& part) {
  keys_of(part).assign(of, pairs);
  check(of, part);
}

template <class Part>
void remove_id(std::vector<Part>& list, std::string_view id) {
  std::erase_if(list, [&](const Part& part) { return part.id == id; });
}

// --- disks ---

void add_disk(PcSpec& spec, std::string_view of, const std::vector<Pair>& pairs) {
  DiskSpec disk;
  read(of, pairs, disk);
  if (disk.id.empty()) disk.id = free_id(spec.disks, "disk");
  spec.disks.push_back(std::move(disk));
}

void remove_disk(PcSpec& spec, std::string_view id) {
  remove_id(spec.disks, id);
}

// --- CD-ROM drives ---

void add_cdrom(PcSpec& spec, std::string_view of, const std::vector<Pair>& pairs) {
  CdromSpec cdrom;
  keys_of(cdrom).assign(of, pairs);
  if (cdrom.id.empty()) cdrom.id = free_id(spec.cdroms, "cdrom");
  spec.cdroms.push_back(std::move(cdrom));
}

void remove_cdrom(PcSpec& spec, std::string_view id) {
  remove_id(spec.cdroms, id);
}

// --- networks ---

void add_net(PcSpec& spec, std::string_view of, const std::vector<Pair>& pairs) {
  NetInterface interface = interface_for(of, pairs);
  read(of, pairs, interface);
  if (interface.id.empty()) interface.id = free_id(spec.nets, "net");
  spec.nets.push_back(std::move(interface));
}

void remove_net(PcSpec& spec, std::string_view id) {
  remove_id(spec.nets, id);
}

// --- shares ---

void add_share(PcSpec& spec, std::string_view of, const std::vector<Pair>& pairs) {
  ShareSpec share;
  read(of, pairs, share);
  spec.shares.push_back(std::move(share));
}

void remove_share(PcSpec& spec, std::string_view tag) {
  std::erase_if(spec.shares, [&](const ShareSpec& share) { return share.tag == tag; });
}

// --- the screen ---

void add_display(PcSpec& spec, std::string_view of, const std::vector<Pair>& pairs) {
  DisplaySpec display = spec.display.value_or(DisplaySpec{});
  read(of, pairs, display);
  spec.display = std::move(display);
}

// --- what is started ---

void add_boot(PcSpec& spec, std::string_view of, const std::vector<Pair>& pairs) {
  read(of, pairs, spec.boot_from);
}

// --- what the machine tells of itself ---

void add_smbios(PcSpec& spec, std::string_view of, const std::vector<Pair>& pairs) {
  smbios_keys(spec.smbios, smbios_type(of, pairs)).assign(of, pairs);
}

void remove_smbios(PcSpec& spec, std::string_view type) {
  clear_smbios(spec.smbios, type);
}

// --- all of them ---

DiskSpec fresh(const DiskSpec&) {
  return {};
}
CdromSpec fresh(const CdromSpec&) {
  return {};
}
ShareSpec fresh(const ShareSpec&) {
  return {};
}
DisplaySpec fresh(const DisplaySpec&) {
  return {};
}
BootSpec fresh(const BootSpec&) {
  return {};
}

template <class List>
std::vector<Json> json_of(const List& list) {
  std::vector<Json> all;
  for (auto item : list) {
    auto other = fresh(item);
    all.push_back(keys_of(item).json(keys_of(other)));
  }
  return all;
}

template <class T>
std::string help_of() {
  T item;
  return keys_of(item).help();
}

template <class T>
std::vector<Keys::Description> all_keys_of() {
  T item;
  return keys_of(item).describe();
}

const std::array<PartKind, 7>& kinds() {
  static const std::array<PartKind, 7> kKinds{{
      {.key = {"display", "SPEC",
               "A screen with keyboard and pointer: none (the default), "
               "vnc=ADDRESS:PORT, vnc=unix:PATH, web=ADDRESS:PORT[,mode=WxH]"
               "[,KEY=VALUE...]; see below"},
       .bare_key = "",
       .name_key = "",
       .heading = "What --display SPEC is made of; several are one",
       .can_be_none = true,
       .add = add_display,
       .remove = [](PcSpec&, std::string_view) {},
       .clear = [](PcSpec& spec) { spec.display.reset(); },
       .json =
           [](const PcSpec& spec) {
             return spec.display ? json_of(std::array{*spec.display}) : std::vector<Json>();
           },
       .help = help_of<DisplaySpec>,
       .keys = all_keys_of<DisplaySpec>},
      {.key = {"boot", "SPEC",
               "What a BIOS starts: order=LETTERS[,once=LETTERS][,menu=on][,menu-wait=MS]"},
       .bare_key = "",
       .name_key = "",
       .heading = "What --boot SPEC is made of; several are one",
       .can_be_none = false,
       .add = add_boot,
       .remove = [](PcSpec&, std::string_view) {},
       .clear = [](PcSpec& spec) { spec.boot_from = {}; },
       .json =
           [](const PcSpec& spec) {
             return spec.boot_from == BootSpec() ? std::vector<Json>()
                                                 : json_of(std::array{spec.boot_from});
           },
       .help = help_of<BootSpec>,
       .keys = all_keys_of<BootSpec>},
      {.key = {"smbios", "SPEC",
               "What the machine tells of its make, repeatable: type=N,KEY=VALUE..., with QEMU's "
               "names; see below"},
       .bare_key = "",
       .name_key = "type",
       .heading = "What --smbios SPEC is made of",
       .can_be_none = false,
       .add = add_smbios,
       .remove = remove_smbios,
       .clear = [](PcSpec& spec) { spec.smbios = {.uuid = spec.smbios.uuid}; },
       .json = [](const PcSpec& spec) { return smbios_json(spec.smbios); },
       .help = smbios_help,
       .keys = all_smbios_keys},
      {.key = {"disk", "SPEC",
               "A disk, repeatable: path=FILE[,format=raw|qcow2][,readonly=on]"
               "[,KEY=VALUE...], or a bare path; the keys are below"},
       .bare_key = "path",
       .name_key = "id",
       .heading =
           "What --disk SPEC is made of; a bare path works, a comma in a value is written twice",
       .can_be_none = false,
       .add = add_disk,
       .remove = remove_disk,
       .clear = [](PcSpec& spec) { spec.disks.clear(); },
       .json = [](const PcSpec& spec) { return json_of(spec.disks); },
       .help = help_of<DiskSpec>,
       .keys = all_keys_of<DiskSpec>},
      {.key =
           {"cdrom", "SPEC",
            "A CD-ROM drive, repeatable: path=FILE[,KEY=VALUE...], or a bare path; '' is an empty "
            "drive; see below"},
       .bare_key = "path",
       .name_key = "id",
       .heading = "What --cdrom SPEC is made of; a bare path works",
       .can_be_none = false,
       .add = add_cdrom,
       .remove = remove_cdrom,
       .clear = [](PcSpec& spec) { spec.cdroms.clear(); },
       .json = [](const PcSpec& spec) { return json_of(spec.cdroms); },
       .help = help_of<CdromSpec>,
       .keys = all_keys_of<CdromSpec>},
      {.key = {"net", "SPEC",
               "A network interface, repeatable: "
               "user[,hostfwd=tcp:[ADDRESS]:PORT-:PORT]…, tap=NAME, bridge=NAME, "
               "fd=N, socket=unix:PATH or none (the default); see below"},
       .bare_key = "",
       .name_key = "id",
       .heading =
           "What --net SPEC is made of; the first word says what the interface is connected to",
       .can_be_none = true,
       .add = add_net,
       .remove = remove_net,
       .clear = [](PcSpec& spec) { spec.nets.clear(); },
       .json = [](const PcSpec& spec) { return json_of(spec.nets); },
       .help = net_help,
       .keys = net_keys},
      {.key = {"share", "SPEC",
               "A directory for the guest to mount, repeatable: "
               "path=DIR,tag=NAME[,readonly=on][,KEY=VALUE...]; a bare path works, "
               "too"},
       .bare_key = "path",
       .name_key = "tag",
       .heading = "What --share SPEC is made of; a first part without a key is the directory",
       .can_be_none = false,
       .add = add_share,
       .remove = remove_share,
       .clear = [](PcSpec& spec) { spec.shares.clear(); },
       .json = [](const PcSpec& spec) { return json_of(spec.shares); },
       .help = help_of<ShareSpec>,
       .keys = all_keys_of<ShareSpec>},
  }};
  return kKinds;
}

template <class List, class Name>
void check_names(std::string_view what, const List& list, Name name_of) {
  std::set<std::string> names;
  for (const auto& item : list)
    if (const std::string name = name_of(item); !name.empty() && !names.insert(name).second)
      throw ConfigError(fmt::format("--{} '{}'", what, name));
}

std::vector<std::string> ids_of_media(const PcSpec& spec) {
  std::vector<std::string> ids;
  for (const DiskSpec& disk : spec.disks) ids.push_back(disk.id);
  for (const CdromSpec& cdrom : spec.cdroms) ids.push_back(cdrom.id);
  return ids;
}

std::vector<uint32_t> bootindexes(const PcSpec& spec) {
  std::vector<uint32_t> all;
  for (const DiskSpec& disk : spec.disks)
    if (disk.bootindex) all.push_back(*disk.bootindex);
  for (const CdromSpec& cdrom : spec.cdroms)
    if (cdrom.bootindex) all.push_back(*cdrom.bootindex);
  return all;
}

void check_with_kernel(const PcSpec& spec) {
  if (!spec.firmware.empty())
    throw ConfigError("--firmware: a kernel is started without one: leave out --kernel");
  if (spec.boot_from != BootSpec())
    throw ConfigError("--boot: only a BIOS is told of it: leave out --kernel");
  if (!bootindexes(spec).empty())
    throw ConfigError("--disk: bootindex: only a BIOS is told of it: leave out --kernel");
}

void check_with_firmware(const PcSpec& spec) {
  const LinuxBoot& kernel = spec.boot;
  const std::array<std::pair<const char*, bool>, 4> words{
      {{"initrd", !kernel.initrd.empty()},
       {"append", !kernel.cmdline.empty()},
       {"kernel-unpack", kernel.unpack != Unpack::automatic},
       {"virtio-cmdline", spec.virtio_cmdline}}};
  for (const auto& [word, is_there] : words)
    if (is_there)
      throw ConfigError(
          fmt::format("--{}: only a kernel is told of it: name one (--kernel FILE)", word));
  if (spec.irqchip == VmConfig::Irqchip::apic)
    throw ConfigError("--irqchip: a machine that a BIOS starts has a PC's chips: leave out 'apic'");
}

}  // namespace

Keys keys_of(PcSpec& spec) {
  using Irqchip = std::optional<VmConfig::Irqchip>;
  Keys keys;
  add_boot_keys(keys, spec.boot);
  keys.text({"firmware", "FILE",
             "Without a kernel: the BIOS that starts what is on a disk (SeaBIOS, of the package "
             "seabios)"},
            spec.firmware);
  keys.number({"cpus", "N", "Number of vCPUs"}, spec.vcpus, 1, kMaxVcpus)
      .word(
          {"memory", "SIZE", "Memory: 512M, 4G, …"},
          [&spec](const std::string& text) { set_memory(spec.memory, text); },
          [&spec] { return size_text(spec.memory); })
      .text({"name", "NAME",
             "The machine's name, which its network interfaces' addresses are derived from"},
            spec.name)
      .word(
          {"uuid", "UUID", "The machine's number, which the guest finds as product_uuid"},
          [&spec](const std::string& text) { spec.smbios.uuid = parse_uuid(text); },
          [&spec] { return to_string(spec.smbios.uuid); });
  return add_chardevs(keys, spec)
      .choice<Irqchip>(
          {"irqchip", "auto|apic|pc",
           "apic: what Linux needs; pc: the old PICs and timer as well, for kernels that cannot do "
           "without; auto: apic for Linux, pc for other programs"},
          spec.irqchip,
          {{"auto", std::nullopt},
           {"apic", VmConfig::Irqchip::apic},
           {"pc", VmConfig::Irqchip::pc}})
      .flag(
          {"virtio-cmdline", "",
           "Tell the kernel of its disks with virtio_mmio.device= words, for kernels without ACPI"},
          spec.virtio_cmdline)
      .flag({"no-reboot", "", "End, with status 8, when the guest asks for a reset"},
            spec.no_reboot)
      .flag({"debug-exit", "", "A port (0xf4) by which the guest sets the exit status"},
            spec.debug_exit);
}

std::span<const PartKind> part_kinds() {
  return kinds();
}

void check(const PcSpec& spec) {
  has_firmware(spec) ? check_with_firmware(spec) : check_with_kernel(spec);
  check_names("disk: two disks have the id", spec.disks,
              [](const DiskSpec& disk) { return disk.id; });
  check_names("cdrom: two drives, or a drive and a disk, have the id", ids_of_media(spec),
              [](const std::string& id) { return id; });
  check_names("disk: two disks or drives have the bootindex", bootindexes(spec),
              [](uint32_t index) { return std::to_string(index); });
  check_names("net: two interfaces have the id", spec.nets,
              [](const NetInterface& net) { return net.id; });
  check_names("net: two interfaces have the MAC address", spec.nets,
              [](const NetInterface& net) { return net.mac ? dev::to_string(*net.mac) : ""; });
  check_names("share: two shares have the tag", spec.shares,
              [](const ShareSpec& share) { return share.tag; });
  const auto is_stdio = [](const std::optional<dev::CharSpec>& port) {
    return port && port->kind == dev::CharSpec::Kind::stdio;
  };
  if (is_stdio(spec.serial) && is_stdio(spec.console))
    throw ConfigError("--console: the terminal is the serial port's: add --serial null");
}

}  // namespace vireo::pc
