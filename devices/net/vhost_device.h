// The kernel's /dev/vhost-net: each opening of it serves one queue pair of a TAP.
#pragma once

#include "devices/net/tap_config.h"
#include "vmm/base/fd.h"

namespace vireo::dev {

// Empty when it is not to be used, or is not there and need not be; throws ConfigError when it has
// to be. Thread: the control thread.
UniqueFd open_vhost_device(Vhost wanted);

}  // namespace vireo::dev
