// The agent: carries out what the host asks for over a port, until that closes or asks for the end.
//
// One thread, with SIGCHLD blocked. No C++ library. Owns the commands; what they are bounded by is
// in command.h, how many there are in wire.h. A host that breaks the protocol is left.
#pragma once

#include <optional>

#include "agent/guest/command.h"
#include "agent/guest/fd.h"
#include "agent/guest/port.h"

namespace vireo::agent {

class Agent {
 public:
  explicit Agent(int port) noexcept;
  // Until the host asks for the power to go off, or is gone.
  void run() noexcept;

 private:
  void turn() noexcept;
  void wait() noexcept;
  void read_requests() noexcept;
  bool handle(const Frame& frame) noexcept;
  bool handle_machine(const Frame& frame) noexcept;
  bool handle_command(const Frame& frame) noexcept;
  template <class Message, class Action>
  bool answer(const Frame& frame, Action action) noexcept;
  template <class Message>
  bool tell_command(const Frame& frame) noexcept;
  bool start(const Frame& frame) noexcept;
  void reap() noexcept;
  std::optional<Command>* slot_of(uint32_t channel) noexcept;
  std::optional<Command>* free_slot() noexcept;

  Port port_;
  Fd children_;  // tells of SIGCHLD
  std::optional<Command> commands_[kMaxCommands];
  bool greeted_ = false;
  bool ended_ = false;
};

}  // namespace vireo::agent
