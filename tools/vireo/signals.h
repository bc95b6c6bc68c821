// The process's signals while a machine runs: read on the machine's loop instead of interrupting
// anybody, and a last resort that gives the terminal back when the program crashes.
#pragma once

#include <functional>

#include "devices/chardev/terminal.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/fd.h"

namespace vireo::cli {

// Thread: constructed on the main thread before any other thread is made (they inherit the mask).
// One object per process.
class Signals {
 public:
  Signals();  // blocks the signals that it reads
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // Called on the loop.
  struct Actions {
    std::function<void()> terminate;        // for each SIGTERM, SIGINT or SIGHUP
    std::function<void()> resume = [] {};   // SIGCONT
    std::function<void()> resized = [] {};  // SIGWINCH: the terminal has another size
  };
  // SIGTSTP gives the terminal back for as long as the process is stopped. The terminal and this
  // outlive the registration.
  [[nodiscard]] EventLoop::Registration watch(EventLoop& loop, const dev::Terminal& terminal,
                                              Actions actions);

 private:
  UniqueFd fd_;
};

// While it lives, a crash of the program restores the terminal before the process dies. One at a
// time; the terminal outlives it.
class RestoreOnCrash {
 public:
  explicit RestoreOnCrash(const dev::Terminal& terminal);
  ~RestoreOnCrash();
  RestoreOnCrash(const RestoreOnCrash&) = delete;
  RestoreOnCrash& operator=(const RestoreOnCrash&) = delete;
};

}  // namespace vireo::cli
