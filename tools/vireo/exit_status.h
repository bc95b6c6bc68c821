// What `vireo` exits with. Even numbers are ours, so that a debug-exit status, which is always odd,
// can never be mistaken for one of them.
#pragma once

#include <stdexcept>

#include "vmm/vm.h"

namespace vireo::cli {

inline constexpr int kOk = 0;          // the guest switched itself off; the command did its job
inline constexpr int kUsageError = 2;  // options or what they name
inline constexpr int kHostError = 4;   // the host could not do it
inline constexpr int kGuestCrash = 6;  // triple fault, or KVM could not go on
inline constexpr int kGuestReset = 8;  // a reset under --no-reboot
inline constexpr int kStopped = 10;    // by a signal, or Ctrl-A x

// `vireo exec` ends as its command does; what is not the command's doing has the statuses that
// timeout(1), env(1) and shells give it.
inline constexpr int kTimedOut = 124;
inline constexpr int kSandboxFailed = 125;  // wrong options, too
inline constexpr int kCannotExecute = 126;
inline constexpr int kNotFound = 127;
inline constexpr int kSignalBase = 128;  // and the signal's number

// What was asked for cannot be: leads to kUsageError.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// (value << 1) | 1 for a debug exit, as QEMU's isa-debug-exit gives it.
int exit_status(const End& end);

}  // namespace vireo::cli
