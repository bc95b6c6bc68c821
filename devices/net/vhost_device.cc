#include "devices/net/vhost_device.h"

#include <fcntl.h>

#include <cerrno>

#include "vmm/base/error.h"

namespace vireo::dev {

UniqueFd open_vhost_device(Vhost wanted) {
  if (wanted == Vhost::off) return {};
  UniqueFd device(::open("/dev/vhost-net", O_RDWR | O_CLOEXEC));
  if (device || wanted == Vhost::automatic) return device;
  if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
    throw ConfigError("vhost=on: this host has no /dev/vhost-net: 'modprobe vhost_net'");
  throw_errno("vhost=on: cannot open /dev/vhost-net");
}

}  // namespace vireo::dev
