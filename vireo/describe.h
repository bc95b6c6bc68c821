// What a description says, in the PC's own terms. Any thread. Reads the file that it names. Errors:
// ConfigError that names the option, std::system_error.
#pragma once

#include "devices/pc/spec.h"
#include "vireo/description.h"

namespace vireo {

pc::PcSpec spec_of(const Description& description);

}  // namespace vireo
