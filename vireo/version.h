// The version of the library that the program runs with. Any thread.
#pragma once

#include "vireo/export.h"

namespace vireo {

// "0.1.0" (Semantic Versioning 2.0.0); static.
VIREO_EXPORT const char* version() noexcept;

}  // namespace vireo
