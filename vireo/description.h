// A whole machine, described: a value with defaults, from which a Machine is made.
//
//   vireo::Description web{.name = "web", .memory = 2 * vireo::GiB, .kernel = "vmlinuz"};
//   web.disk = {"debian.qcow2,snapshot=on"};
//
// A member is the option of `vireo run` with its name (docs/run.md), and the key of a description
// in JSON; what is not said is as it is there by default. Disks, CD-ROM drives, networks, shares
// and the screen are written as on the command line.
// Any thread. What is wrong with it is told by Machine's constructor.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vireo/console.h"
#include "vireo/export.h"
#include "vireo/units.h"

namespace vireo {

// What a port of the guest's is connected to: a place as on the command line ("null", "stdio",
// "file:PATH", "unix:PATH", "pty"), or a console of the program's; without either, nothing.
class VIREO_EXPORT Port {
 public:
  Port() = default;
  Port(const char* place) : place_(place) {}
  Port(std::string place) : place_(std::move(place)) {}
  Port(const Console& console) : console_(console.core_) {}

  const std::string& place() const noexcept { return place_; }
  bool is_console() const noexcept { return console_ != nullptr; }

 private:
  friend std::unique_ptr<dev::CharBackend> backend_of(const Port& port);

  std::string place_;
  std::shared_ptr<Console::Core> console_;
};

struct Description {
  std::string config{};  // a file in JSON, to which all else is added
  std::string name{};
  std::string uuid{};
  std::optional<uint64_t> memory{};  // bytes
  std::optional<uint32_t> cpus{};
  std::string kernel{};
  std::string initrd{};
  std::string append{};  // the kernel's command line
  std::string kernel_unpack{};
  std::string firmware{};  // without a kernel: the BIOS that starts what is on a disk
  std::vector<std::string> disk{};
  std::vector<std::string> cdrom{};
  std::vector<std::string> net{};
  std::vector<std::string> share{};
  std::vector<std::string> display{};
  std::vector<std::string> boot{};    // what a firmware starts
  std::vector<std::string> smbios{};  // what the machine tells of its make
  Port serial{};
  Port console{};  // of a virtio console, which is there when this is
  std::string irqchip{};
  bool virtio_cmdline = false;
  bool no_reboot = false;
  bool debug_exit = false;

  // What the library has to say while the machine lives; on any of its threads.
  std::string log_level = "warn";  // trace, debug, info, warn, error or off
  std::function<void(std::string_view line)> log{};
};

}  // namespace vireo
