// Names what was given as a kernel and is none that this machine can start.
//
// Thread: any; pure. Looks at a few bytes only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "vmm/boot/image.h"

namespace vireo {

// "packed by gzip: unpack it first (gunzip)", to follow "<name> is "; empty when it is not known.
std::string describe_foreign(const Image& image);

// "AArch64" for the number of a machine in an ELF header; empty when it is not known.
std::string_view elf_machine_name(uint16_t machine);

}  // namespace vireo
