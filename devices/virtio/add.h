// Puts a virtio device into a machine:
//
//   Blk& disk = add_virtio<Blk>(machine, "vda", std::move(opened), BlkConfig{.serial = "1"});
//
// Which transport that makes is the platform's matter, not the caller's. Thread: control; throws
// what the device and the transport throw. The device keeps its state as "<name>.device".
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "devices/virtio/device.h"
#include "devices/virtio/mmio.h"
#include "vmm/machine.h"

namespace vireo::dev {

// At home on a loop of Machine::add_loop().
template <class D, class... Args>
D& add_virtio_at(Machine& machine, EventLoop& home, const std::string& name, Args&&... args) {
  DeviceEnv env{machine.env().platform, home};
  const VirtioEnv virtio_env{home, env.platform.pool, env.platform.log};
  std::unique_ptr<D> device;
  if constexpr (requires { typename D::State; })
    device = std::make_unique<D>(name, virtio_env, std::forward<Args>(args)...,
                                 machine.saved().take<typename D::State>(name + ".device"));
  else
    device = std::make_unique<D>(name, virtio_env, std::forward<Args>(args)...);
  D& added = *device;
  auto transport = std::make_unique<MmioTransport>(
      name, env, std::move(device), machine.saved().take<MmioTransport::State>(name));
  machine.adopt(std::move(transport), home);
  return added;
}

template <class D, class... Args>
D& add_virtio(Machine& machine, const std::string& name, Args&&... args) {
  return add_virtio_at<D>(machine, machine.env().loop, name, std::forward<Args>(args)...);
}

}  // namespace vireo::dev
