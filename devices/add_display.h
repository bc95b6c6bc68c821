// Puts a screen, a keyboard and a pointer into a machine, on a loop of their own: compressing
// pixels for viewers must not keep a disk waiting. Thread: control.
//
//   const DisplayDevices display = add_display(machine, {1024, 768});
//   machine.boot({.kernel = …, .framebuffer = display.screen.boot_information()});
#pragma once

#include "devices/display/screen.h"
#include "devices/guest_input.h"
#include "devices/legacy/framebuffer.h"
#include "vmm/machine.h"

namespace vireo::dev {

struct DisplayDevices {
  EventLoop& loop;  // where the screen and the input are used
  Framebuffer& screen;
  GuestInput& input;
};

// The machine's keyboard controller comes along. Throws what the devices throw.
DisplayDevices add_display(Machine& machine, display::Size mode);

}  // namespace vireo::dev
