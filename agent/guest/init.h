// The agent as the first process of a machine.
//
// One thread. No C++ library. The machine ends rather than that its host waits for it.
#pragma once

namespace vireo::agent {

// Mounts what programs expect, loads the modules that the initramfs brought, and finds the port.
// Does not return without it.
int start_machine() noexcept;

// Writes what the host's files are to keep, and switches the machine off.
[[noreturn]] void power_off() noexcept;

}  // namespace vireo::agent
