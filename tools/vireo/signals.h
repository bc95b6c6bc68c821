// The process's signals while a machine runs: read on the machine's loop instead of interrupting
// anybody, and a last resort that gives the terminal back when the program crashes.
//
// Thread: constructed on the main thread before any other thread is made (they inherit the mask).
// One object per process.
#pragma once

#include <functional>
#include <optional>

#include "devices/chardev/terminal.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/fd.h"

namespace vireo::cli {

class Signals {
 public:
  Signals();  // blocks the signals that it reads
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // `terminate` is called on the loop for each SIGTERM, SIGINT or SIGHUP. SIGTSTP gives the
  // terminal back for as long as the process is stopped.
  void watch(EventLoop& loop, const dev::Terminal& terminal, std::function<void()> terminate);
  void unwatch();  // the loop's thread, or when it is idle

 private:
  void read_one(const dev::Terminal& terminal, const std::function<void()>& terminate) const;
  static void suspend(const dev::Terminal& terminal);

  UniqueFd fd_;
  EventLoop::Registration watch_;
};

}  // namespace vireo::cli
