// What lives beside a machine's devices, with a start and an end of its own and no state of the
// guest's: a screen's viewers, hands that type. It is not part of snapshots and has no name there.
//
// Thread: the control thread constructs and destroys; everything else runs on the home loop.
//   constructed -> start() -> stop() -> start() ... close()
// Services start after the devices of all loops and stop before them.
#pragma once

#include "vmm/base/task.h"

namespace vireo {

class Service {
 public:
  Service() = default;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  virtual ~Service() = default;

  virtual void start() {}  // the guest runs
  // Resolves when it no longer touches the devices; idempotent, and waits for the host only.
  virtual Task<void> stop() { co_return; }
  // The last call, while stopped; the devices are still there.
  virtual Task<void> close() { co_return; }
};

}  // namespace vireo
