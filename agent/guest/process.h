// Starts a command's process: its streams, its user, its directory, its program.
//
// One thread. No C++ library.
#pragma once

#include <sys/types.h>

#include "agent/guest/fd.h"
#include "agent/wire.h"

namespace vireo::agent {

struct Failure {
  int error = 0;  // an errno; 0: it went well
  Stage stage = Stage::request;
  explicit operator bool() const noexcept { return error != 0; }
};

// The agent's ends, none of which blocks. With a terminal, `in` and `out` are both its master.
struct Process {
  pid_t pid = -1;
  Fd in{}, out{}, error{};
};

// Returns when the program runs, or cannot. It leads a session, and so a process group, of its own.
Failure start_process(const Exec& exec, Process& process) noexcept;

void resize_terminal(int master, const Resize& size) noexcept;

}  // namespace vireo::agent
