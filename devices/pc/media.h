// Changes the discs in the CD-ROM drives of a PC that runs or is paused.
//
// Thread: control. `drive` is the id of a drive in the PC's description. Errors: ConfigError of one
// sentence; std::logic_error when the machine was not started or has ended; those of opening an
// image.
#pragma once

#include <string>
#include <string_view>

#include "devices/pc/build.h"
#include "vmm/vm.h"

namespace vireo::pc {

// Opens the drive, and takes out and closes its medium, if there is one. False: the guest holds the
// medium, and was asked to let it go. `forced`: even then.
[[nodiscard]] bool eject(Vm& machine, const Pc& pc, std::string_view drive, bool forced);
// Puts a disc into the drive, which has none, and closes that. `disc` is told as a value of
// --cdrom.
void insert(Vm& machine, const Pc& pc, std::string_view drive, std::string_view disc);

}  // namespace vireo::pc
