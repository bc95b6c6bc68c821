#include "tools/vireo/exec/exec.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <memory>

#include <fmt/format.h>

#include "tools/vireo/exec/sandbox.h"
#include "tools/vireo/exit_status.h"
#include "tools/vireo/message.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"

namespace vireo::cli {

namespace {

// Over what the file held; false, and a line, when it cannot be written.
bool write_result(const std::string& file, const SandboxResult& result) {
  if (file.empty()) return true;
  std::ofstream out(file, std::ios::trunc);
  out << json_of(result);
  out.close();
  if (!out) tell(fmt::format("--result: cannot write '{}'", file));
  return static_cast<bool>(out);
}

SandboxResult run(const ExecArguments& arguments, Signals& signals, int parent) {
  try {
    const ExecOptions options = resolve(arguments);
    return Sandbox(options, signals, parent).run();
  } catch (const std::exception& error) {
    return {.state = SandboxResult::State::failed, .stage = "prepare", .detail = describe(error)};
  }
}

// A descriptor of the process that started this one; none where that is another PID namespace's.
// PR_SET_PDEATHSIG would not do: it tells of the end of the thread that forked, which in programs
// with many means nothing.
UniqueFd open_parent() {
  const pid_t parent = ::getppid();
  if (parent == 0) return {};
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, parent, 0)));
  if (!fd) throw_errno("cannot watch the process that started vireo");
  return fd;
}

int exec(const ExecArguments& arguments) {
  const UniqueFd parent = open_parent();
  Signals signals(Signals::HangUp::ends, kSandboxFailed);
  const SandboxResult result = run(arguments, signals, parent.get());
  if (!result.detail.empty()) tell_lines(result.detail);
  const bool written = write_result(arguments.result.value_or(""), result);
  const int status = exit_status(result);
  return written || status != kOk ? status : kSandboxFailed;
}

}  // namespace

void add_exec(Options& program) {
  Options command = program.command("exec", "Run a command in a fresh machine on the host's files");
  auto arguments = std::make_shared<ExecArguments>();
  add_exec_options(command, *arguments);
  command.action([arguments] { return exec(*arguments); });
}

}  // namespace vireo::cli
