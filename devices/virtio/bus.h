// Where the virtio devices of a machine are plugged in: the bus gives each its transport, so that
// whoever adds a device does not know which that is.
//
//   Blk& disk = bus.add<Blk>("vda", std::move(opened), BlkConfig{.serial = "1"});
//
// Thread: control, before Vm::start(). Throws what the device and the transport throw; a
// device keeps its state as "<name>.device".
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "devices/virtio/device.h"
#include "vmm/vm.h"

namespace vireo::dev {

class VirtioBus {
 public:
  explicit VirtioBus(Vm& machine) : machine_(machine) {}  // which outlives it
  VirtioBus(const VirtioBus&) = delete;
  VirtioBus& operator=(const VirtioBus&) = delete;
  virtual ~VirtioBus() = default;

  template <class D, class... Args>
  D& add(const std::string& name, Args&&... args) {
    return add_at<D>(machine_.env().loop, name, std::forward<Args>(args)...);
  }
  // At home on a loop of Vm::add_loop().
  template <class D, class... Args>
  D& add_at(EventLoop& home, const std::string& name, Args&&... args) {
    DeviceEnv env{machine_.env().platform, home};
    const VirtioEnv virtio_env{home, env.platform.pool, env.platform.log};
    std::unique_ptr<D> device;
    if constexpr (requires { typename D::State; })
      device = std::make_unique<D>(name, virtio_env, std::forward<Args>(args)...,
                                   machine_.saved().take<typename D::State>(name + ".device"));
    else
      device = std::make_unique<D>(name, virtio_env, std::forward<Args>(args)...);
    D& added = *device;
    machine_.adopt(plug_in(name, env, std::move(device), machine_.saved()), home);
    return added;
  }

 private:
  // The device with its transport, whose state, if it was saved, is that of this name.
  virtual std::unique_ptr<Device> plug_in(const std::string& name, DeviceEnv& env,
                                          std::unique_ptr<VirtioDevice> device,
                                          StateReader& saved) = 0;

  Vm& machine_;
};

}  // namespace vireo::dev
