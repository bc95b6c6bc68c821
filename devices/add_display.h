// Puts a screen, a keyboard and a pointer into a machine, on a loop of their own: compressing
// pixels for viewers must not keep a disk waiting. Thread: control.
//
//   const DisplayDevices display = add_display(machine, bus, {1024, 768});
//   serve_display(machine, display, {.vnc = "127.0.0.1:5900"});
//   machine.boot({.kernel = …, .framebuffer = display.screen.boot_information()});
#pragma once

#include <string>
#include <vector>

#include "devices/display/rfb_server.h"
#include "devices/display/screen.h"
#include "devices/guest_input.h"
#include "devices/legacy/framebuffer.h"
#include "devices/virtio/bus.h"
#include "vmm/vm.h"

namespace vireo::dev {

struct DisplayDevices {
  EventLoop& loop;  // where the screen and the input are used
  Framebuffer& screen;
  GuestInput& input;
  display::Screen* shown = &screen;  // to viewers
};

// The bus is the machine's. Its keyboard controller comes along. Throws what the devices throw.
DisplayDevices add_display(Vm& machine, VirtioBus& bus, display::Size mode);

// Viewers may connect from now on, also while the machine is paused, until it ends. Gives the
// addresses that they find it at. Throws ConfigError when a setting cannot be, or a port is taken.
// May be called again: the same screen at other addresses, with other settings.
std::vector<std::string> serve_display(Vm& machine, const DisplayDevices& display,
                                       display::RfbConfig config);

}  // namespace vireo::dev
