// What the machine knows of a device, and what a device gets of the machine.
//
// A device is Config + State + backends: by convention it has `struct State` (vmm/base/state.h), is
// constructed from one (`D(std::string name, DeviceEnv&, Config…, State = {})`), claims its
// addresses and interrupts in the constructor, and keeps everything the guest can observe in that
// State.
#pragma once

#include <string>

#include "vmm/base/event_loop.h"
#include "vmm/base/state.h"
#include "vmm/base/task.h"
#include "vmm/platform.h"

namespace vireo {

// What a device is built with: the machine's platform, and the loop that is its home.
struct DeviceEnv {
  Platform& platform;
  EventLoop& loop;
};

// Thread: control thread constructs and destroys; start/stop/reset/save/close run on the home
// loop.
//   constructed -> start() -> stop() -> start() ... close()
// reset() and save() only while stopped.
class Device {
 public:
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device() = default;

  virtual const std::string& name() const noexcept = 0;
  virtual void start() = 0;  // from here on it may touch the guest; kicks what waits
  // Resolves when it no longer touches the guest and its State is stable; idempotent. Waits for
  // nothing but work of the host's that is under way (a disk's requests), never for the guest.
  virtual Task<void> stop() = 0;
  virtual void reset() = 0;
  virtual void save(StateWriter& writer) const = 0;
  // The last call, while stopped, before destruction: lets go in order of what needs it (a disk).
  virtual Task<void> close() { co_return; }
};

}  // namespace vireo
