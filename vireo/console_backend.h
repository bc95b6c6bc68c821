// The device's side of a console of the program's. Thread: control.
#pragma once

#include <memory>

#include "devices/chardev/backend.h"
#include "vireo/description.h"

namespace vireo {

// For one device at a time. `port` is a console.
std::unique_ptr<dev::CharBackend> backend_of(const Port& port);

}  // namespace vireo
