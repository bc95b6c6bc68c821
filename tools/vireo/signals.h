// The process's signals: those that ask it to end, those of job control, and a last resort that
// gives the terminal back when the program crashes.
//
// From the construction of Signals on, SIGTERM, SIGINT and SIGHUP end the process at once, with one
// exit status, whatever it waits for. While a loop watches, that is told instead, so that what runs
// there ends in order; after as many requests as the watch names, the next one ends the process
// even if the loop is stuck. The handlers stay when the object goes. A signal that the parent
// ignored (nohup, a shell's background) stays ignored; one that the parent blocked is not.
#pragma once

#include <functional>

#include "devices/chardev/terminal.h"
#include "tools/vireo/exit_status.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/fd.h"

namespace vireo::cli {

// Thread: the main one. One object per process.
class Signals {
 public:
  // What SIGHUP asks for: the end, as when the user's terminal goes away, or that files are opened
  // again, as daemons understand it: a watch is told of one that came before it, too.
  enum class HangUp : uint8_t { ends, reopens };
  explicit Signals(HangUp hang_up = HangUp::ends, int exit_status = kStopped);
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // Called on the loop.
  struct Actions {
    std::function<void(int number)>
        terminate;                            // for each request to end, which came as that signal
    int requests = 1;                         // to end, that the loop is told of
    std::function<void()> reopen = [] {};     // SIGHUP, with HangUp::reopens
    std::function<void()> continued = [] {};  // SIGCONT
    std::function<void()> resized = [] {};    // SIGWINCH: the terminal has another size
  };
  // Ends with the object, which the loop and the Signals outlive.
  class Watch {
   public:
    Watch() = default;
    Watch(Watch&&) = default;
    Watch& operator=(Watch&&) = default;  // only to one that watches nothing
    ~Watch();

   private:
    friend Signals;
    explicit Watch(EventLoop::Registration registration) : registration_(std::move(registration)) {}
    EventLoop::Registration registration_;
  };
  // On the loop's thread, or while nobody runs the loop. SIGTSTP gives the terminal back for as
  // long as the process is stopped. The terminal outlives the watch. Throws std::system_error.
  [[nodiscard]] Watch watch(EventLoop& loop, dev::Terminal& terminal, Actions actions);

 private:
  const HangUp hang_up_;
  UniqueFd wake_;
};

// While it lives, the terminal is restored before the process dies, by a crash or a signal that
// ends it at once. One at a time; the terminal outlives it.
class RestoreAtDeath {
 public:
  explicit RestoreAtDeath(dev::Terminal& terminal);
  ~RestoreAtDeath();
  RestoreAtDeath(const RestoreAtDeath&) = delete;
  RestoreAtDeath& operator=(const RestoreAtDeath&) = delete;
};

}  // namespace vireo::cli
