// How a machine came to its end. A value.
#pragma once

#include <cstdint>
#include <string>

namespace vireo {

struct End {
  enum class Reason : uint8_t {
    power_off,   // the guest switched itself off
    reset,       // the guest asked for a reset, and machines that do not reboot end then
    debug_exit,  // the guest wrote `value` to the debug-exit port
    crash,       // triple fault, or a guest that KVM cannot go on with; `detail` has the registers
    stopped,     // the program that owns the machine asked for it
    host_error,  // the host failed us; `detail` says how
  };
  Reason reason = Reason::stopped;
  uint32_t value = 0;
  std::string detail{};
};

}  // namespace vireo
