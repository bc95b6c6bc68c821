#include "tools/vireo/exit_status.h"

namespace vireo::cli {

int exit_status(const End& end) {
  switch (end.reason) {
    case End::Reason::power_off:
      return kOk;
    case End::Reason::reset:
      return kGuestReset;
    case End::Reason::debug_exit:
      return static_cast<int>((end.value << 1 | 1) & 0xff);
    case End::Reason::crash:
      return kGuestCrash;
    case End::Reason::stopped:
      return kStopped;
    case End::Reason::host_error:
      return kHostError;
  }
  return kHostError;
}

}  // namespace vireo::cli
