// A machine for one command: from the kernel to the agent, the root, the command, and the end.
//
// Thread: the control thread, for construction and run(). Owns the machine; installs no signal
// handler but those of Signals. Errors: ConfigError and std::system_error until the guest runs;
// afterwards what happens is told by the result.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/host/session.h"
#include "devices/chardev/terminal.h"
#include "devices/pc/build.h"
#include "tools/vireo/exec/command_streams.h"
#include "tools/vireo/exec/console_tail.h"
#include "tools/vireo/exec/exec_options.h"
#include "tools/vireo/exec/result.h"
#include "tools/vireo/exec/stages.h"
#include "tools/vireo/signals.h"
#include "vmm/vm.h"

namespace vireo::cli {

class Sandbox {
 public:
  // Which outlive it. `parent` is a pidfd, with whose process the machine ends; -1: there is none.
  Sandbox(const ExecOptions& options, Signals& signals, int parent);
  SandboxResult run();  // once

 private:
  using State = SandboxResult::State;
  struct Initramfs {
    UniqueFd fd{};
    bool has_modules = false;
  };

  static Initramfs make_initramfs(const pc::PcSpec& spec);
  void build();
  // From here to stop() on the loop's thread.
  void watch();
  void watch_parent();
  void take_terminal();
  void terminate(int number);
  void resized();
  void agent_is_there();
  template <class Request>
  void ask(const Request& request, const std::string& what);
  void start_command();
  agent::CommandEvents command_events();
  void command_ended(const agent::Outcome& outcome);
  void not_started(const agent::Outcome& outcome);
  void end_when_flushed();
  void out_of_time();
  void stop(State state, int number, std::string detail);

  void judge(const End& end);
  void judge_lost(const End& end);

  const ExecOptions& options_;
  Signals& signals_;
  const int parent_;
  Stages stages_;
  const Initramfs initramfs_;
  const pc::PcSpec spec_;
  ConsoleTail tail_;
  dev::Terminal terminal_;
  Vm machine_;
  CommandStreams streams_;  // which use the loop of the machine
  std::optional<pc::Pc> pc_;
  agent::Session* session_ = nullptr;  // the machine's

  // The loop's, and once that has ended the control thread's:
  std::optional<SandboxResult> result_;
  uint32_t channel_ = 0;  // 0: the command has not been asked for
  uint32_t pid_ = 0;
  bool command_is_over_ = false;
  bool asked_to_end_ = false;
  std::string output_lost_;  // why; empty: it is all there
  EventLoop::Registration timeout_, patience_, foreground_, parent_watch_;
  Signals::Watch watch_;
};

}  // namespace vireo::cli
