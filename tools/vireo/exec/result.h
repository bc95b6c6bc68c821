// How a sandbox came to its end, in words, as an exit status, and as JSON. A value; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace vireo::cli {

struct SandboxResult {
  enum class State : uint8_t {
    exited,       // the command, with the status `number`
    signaled,     // the command, by the signal `number`
    not_started,  // the command: there is none of that name, no such directory, …
    oom,          // the command, killed as the guest had no memory left
    timeout,      // --timeout is over
    stopped,      // vireo was told to end by a signal
    panic,        // the guest's kernel
    lost,         // the machine ended before the command did
    boot_failed,  // the guest did not get as far as the command
    failed,       // the host could not run the sandbox
  };
  State state = State::failed;
  int number = 0;        // of exited, signaled and stopped; of not_started, Linux' errno
  std::string stage{};   // where it was: the last of `durations`, or the one that was not finished
  std::string detail{};  // one sentence; empty when there is nothing to say
  std::vector<std::pair<std::string, std::chrono::nanoseconds>> durations{};
  uint64_t peak_memory = 0;  // of this process with its guest, in bytes
  std::string console{};     // the end of what the guest's kernel said
};

int exit_status(const SandboxResult& result);
// Ends with a newline.
std::string json_of(const SandboxResult& result);

}  // namespace vireo::cli
