// Points of the work on an image at which a debugger may step in: a filter below the format that
// lets what comes next fail or wait (filter/fault.h). Formats tell the file that they lie on where
// they are, by the names that QEMU's blkdebug has for these points.
//
// Thread: the graph's loop.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <system_error>

#include "vmm/base/task.h"

namespace vireo::blk {

enum class DebugEvent : uint8_t {
  none,
  // A format reads or writes the guest's bytes.
  read_aio,
  write_aio,
  read_backing_aio,
  read_compressed,
  cow_read,
  // A format reads or writes its tables.
  l1_update,
  l2_load,
  l2_update,
  refblock_load,
  refblock_update,
  // A disk completes blocks that a request covers in part.
  pwritev_rmw_head,
  pwritev_rmw_after_head,
  pwritev_rmw_tail,
  pwritev_rmw_after_tail,
  // A request reaches the file, or is done there.
  pwritev,
  pwritev_zero,
  pwritev_done,
  flush_to_os,
  flush_to_disk
};

class Debugger {
 public:
  Debugger() = default;
  Debugger(const Debugger&) = delete;
  Debugger& operator=(const Debugger&) = delete;
  virtual ~Debugger() = default;

  // Awaited by the request that is there.
  virtual Task<void> at(DebugEvent event) = 0;

  // The next request that comes to `event` waits there under the name `tag`, and `reached` is told.
  virtual void stop_at(DebugEvent event, std::string tag, std::function<void()> reached) = 0;
  virtual bool is_stopped(const std::string& tag) const = 0;
  virtual void go_on(const std::string& tag) = 0;
  virtual void go_on() = 0;  // all of them; nobody stops any more
};

// The request, once the debugger, if there is one, lets it go.
Task<std::error_code> after(Debugger* debugger, DebugEvent event, Task<std::error_code> request);

}  // namespace vireo::blk
