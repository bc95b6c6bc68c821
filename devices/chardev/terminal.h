// The user's terminal in raw mode, and always back again.
//
// Raw mode is the terminal's, not the process's, and outlives a process that dies without undoing
// it. The library installs no signal handlers: the program that owns the Terminal calls restore()
// from its own, for every signal that ends it, and set_raw() after SIGCONT.
// Thread: constructed and destroyed by the owner; set_raw() from one thread at a time; restore()
// from any thread and from signal handlers while the object lives. Owns a duplicate of the
// descriptor.
#pragma once

#include <termios.h>

#include <atomic>
#include <chrono>

#include "vmm/base/fd.h"

namespace vireo::dev {

// May this process read and set the terminal now? A shell stops the processes of its background
// that do (SIGTTIN, SIGTTOU). True of what is not our controlling terminal: nobody stops us there.
// Async-signal-safe, leaves errno alone.
bool in_foreground(int terminal) noexcept;
// How often a process in the background looks: nothing tells it that its shell has brought it to
// the foreground.
inline constexpr std::chrono::milliseconds kForegroundInterval{250};

class Terminal {
 public:
  // Does nothing, ever, if the descriptor is no terminal. Throws std::system_error.
  explicit Terminal(int fd);
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() { restore(); }

  bool is_terminal() const noexcept { return static_cast<bool>(fd_); }
  bool is_raw() const noexcept { return is_raw_; }

  // Only in the foreground: otherwise the terminal stays as it is. Also when it is raw by what we
  // know: a shell may have set it otherwise while the process was stopped.
  void set_raw() noexcept;
  // Back to what it was before set_raw(). Async-signal-safe, idempotent, leaves errno alone.
  void restore() noexcept;

 private:
  UniqueFd fd_;
  std::atomic<bool> is_raw_ = false;
  termios original_{};  // written only while is_raw_ is false
};

}  // namespace vireo::dev
