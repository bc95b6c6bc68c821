// A host that refuses: some system calls fail with an errno, for one thread and those that it
// starts. Nothing of the rest of the process changes, and no privilege is needed.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

namespace vireo::testing {

namespace detail {

// False where the sandbox that the test runs in has no seccomp for it.
inline bool refuse(std::initializer_list<long> calls, int error) {
  std::vector<sock_filter> program{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const long call : calls) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{.len = static_cast<unsigned short>(program.size()),
                          .filter = program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

}  // namespace detail

// Runs the body on a thread for which the calls fail; waits for it. The body asserts nothing (Catch
// does that on one thread) and throws nothing. False, with a warning: it did not run.
template <class Body>
bool with_refused_calls(std::initializer_list<long> calls, int error, Body body) {
  bool ran = false;
  std::thread([&] {
    if (!detail::refuse(calls, error)) return;
    ran = true;
    body();
  }).join();
  if (!ran) WARN("a sandbox without seccomp: nothing is refused, and nothing shown");
  return ran;
}

}  // namespace vireo::testing
