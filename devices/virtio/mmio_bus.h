// A platform whose virtio devices are reached by virtio-mmio, each at a page and an interrupt of
// its own that the firmware's tables tell of.
#pragma once

#include <memory>
#include <string>

#include "devices/virtio/bus.h"

namespace vireo::dev {

class MmioBus final : public VirtioBus {
 public:
  using VirtioBus::VirtioBus;

 private:
  std::unique_ptr<Device> plug_in(const std::string& name, DeviceEnv& env,
                                  std::unique_ptr<VirtioDevice> device,
                                  StateReader& saved) override;
};

}  // namespace vireo::dev
