// Shows that a broken invariant (VMM_CHECK, an exception that must not leave) ends the process: the
// body runs in a child, so the test goes on. Only from a test that has no other threads running.
#pragma once

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"

namespace vireo::testing {

// What the child wrote to stderr before abort() ended it; "(lived)" when something else did.
template <class Body>
std::string abort_message(Body body) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) throw_errno("cannot make a pipe");
  UniqueFd from_child{ends[0]};
  UniqueFd to_parent{ends[1]};
  const pid_t child = ::fork();
  if (child < 0) throw_errno("cannot fork");
  if (child == 0) {
    const rlimit no_core{};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::signal(SIGABRT, SIG_DFL);
    ::dup2(to_parent.get(), STDERR_FILENO);
    body();
    ::_exit(0);
  }
  to_parent.reset();
  std::string text;
  std::array<char, 512> part;
  for (ssize_t n = 0; (n = ::read(from_child.get(), part.data(), part.size())) > 0;)
    text.append(part.data(), static_cast<size_t>(n));
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? text : "(lived)";
}

}  // namespace vireo::testing
