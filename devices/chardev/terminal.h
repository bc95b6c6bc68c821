// The user's terminal in raw mode, and always back again.
//
// Raw mode is the terminal's, not the process's, and outlives a process that dies without undoing
// it. The library installs no signal handlers: the program that owns the Terminal calls restore()
// from its own, for every signal that ends it, and set_raw() after SIGCONT.
// Thread: constructed and destroyed by the owner; restore() and set_raw() from any thread and from
// signal handlers while the object lives. Owns a duplicate of the descriptor.
#pragma once

#include <termios.h>

#include "vmm/base/fd.h"

namespace vireo::dev {

class Terminal {
 public:
  // Sets raw mode if the descriptor is a terminal that we may set now (we are its foreground
  // process); otherwise does nothing, ever. Throws std::system_error when the terminal refuses.
  explicit Terminal(int fd);
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() { restore(); }

  bool is_raw() const noexcept { return static_cast<bool>(fd_); }

  // Both are async-signal-safe, idempotent and leave errno alone.
  void restore() const noexcept;
  void set_raw() const noexcept;

 private:
  UniqueFd fd_;
  termios original_{};
  termios raw_{};
};

}  // namespace vireo::dev
