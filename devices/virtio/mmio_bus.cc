#include "devices/virtio/mmio_bus.h"

#include <utility>

#include "devices/virtio/mmio.h"

namespace vireo::dev {

std::unique_ptr<Device> MmioBus::plug_in(const std::string& name, DeviceEnv& env,
                                         std::unique_ptr<VirtioDevice> device, StateReader& saved) {
  return std::make_unique<MmioTransport>(name, env, std::move(device),
                                         saved.take<MmioTransport::State>(name));
}

}  // namespace vireo::dev
