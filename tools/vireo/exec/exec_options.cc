#include "tools/vireo/exec/exec_options.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "agent/wire.h"
#include "tools/vireo/exec/kernel.h"
#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace fs = std::filesystem;

namespace {

constexpr const char* kFooter =
    R"(The command sees the host's files as they are, at the same paths, and can change all of them: what
it changes is kept in the guest's memory and gone with it, except below what --rw names. /dev, /proc,
/sys and /run are the guest's own. It runs as the guest's root, with an environment of its own: PATH,
HOME, what --env gives, and at a terminal TERM.

Exit status: that of the command, or
  124       --timeout is over
  125       vireo could not do it: wrong options, no KVM, a guest that did not come up, a kernel that
            panicked, a machine that ended before its command did; one line on standard error says what
  126       the command was found and cannot be executed
  127       there is no such command
  128 + N   the command was ended by the signal N
--result tells these apart from a command that exits with the same status.

SIGTERM, SIGINT and SIGHUP go to the command; the second one stops the machine. The machine ends with
the process that started vireo.

Examples:
  vireo exec -- make test
  vireo exec --rw . --cpus 4 --memory 4G -- make -j4
  vireo exec --kernel arch/x86/boot/bzImage -- ./selftest
  vireo exec --net user -- curl https://example.org
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='vireo exec --' cargo test)";

constexpr const char* kCommandLine = "console=ttyS0 quiet panic=-1 pci=off";
constexpr const char* kMemory = "1G";

constexpr std::array kGuestsOwn{"/dev", "/proc", "/sys", "/run"};

bool is_inside(const fs::path& path, const fs::path& directory) {
  return std::mismatch(directory.begin(), directory.end(), path.begin(), path.end()).first ==
         directory.end();
}

fs::path directory_of(const char* option, const std::string& text) {
  std::error_code error;
  fs::path path = fs::canonical(text, error);
  if (error || !fs::is_directory(path))
    throw ConfigError(fmt::format("{}: there is no directory '{}'", option, text));
  return path;
}

fs::path root_of(const ExecArguments& arguments) {
  return arguments.root == "host" ? fs::path("/") : directory_of("--root", arguments.root);
}

pc::ShareSpec share(const std::string& tag, const fs::path& directory, bool read_only) {
  pc::ShareSpec spec;
  spec.tag = tag;
  spec.share.directory = directory.string();
  spec.share.read_only = read_only;
  return spec;
}

void add_shares(ExecOptions& options, const ExecArguments& arguments) {
  options.root_tag = "vireo-root";
  options.spec.shares.push_back(share(options.root_tag, root_of(arguments), true));
  for (const std::string& text : arguments.writable) {
    const fs::path path = directory_of("--rw", text);
    const std::string tag = fmt::format("vireo-rw{}", options.writable.size());
    options.writable.push_back({tag, path.string()});
    options.spec.shares.push_back(share(tag, path, false));
  }
}

// Where vireo was called, if that can be seen inside.
std::string own_directory(const ExecOptions& options, const fs::path& root) {
  std::error_code error;
  const fs::path here = fs::current_path(error);
  if (error) return "/";
  for (const WritableShare& writable : options.writable)
    if (is_inside(here, writable.path)) return here.string();
  if (!is_inside(here, root)) return "/";
  const fs::path inside = (fs::path("/") / here.lexically_relative(root)).lexically_normal();
  const auto hides = [&](const char* directory) { return is_inside(inside, directory); };
  return std::ranges::any_of(kGuestsOwn, hides) ? "/" : inside.string();
}

std::string variable(const std::string& text) {
  if (text.empty() || text.front() == '=')
    throw ConfigError(fmt::format("--env: '{}' does not begin with a name", text));
  if (text.find('=') != std::string::npos) return text;
  const char* const value = std::getenv(text.c_str());
  return value == nullptr ? "" : fmt::format("{}={}", text, value);
}

// Of what the host does not have itself, nothing is handed on.
std::vector<std::string> environment_of(const ExecArguments& arguments, bool terminal) {
  std::vector<std::string> environment;
  for (const std::string& text : arguments.environment)
    if (std::string made = variable(text); !made.empty()) environment.push_back(std::move(made));
  if (!terminal) return environment;
  const bool given = std::ranges::any_of(
      environment, [](const std::string& text) { return text.starts_with("TERM="); });
  if (const char* const term = std::getenv("TERM"); term != nullptr && !given)
    environment.push_back(fmt::format("TERM={}", term));
  return environment;
}

bool wants_terminal(const ExecArguments& arguments) {
  if (arguments.no_terminal) return false;
  return arguments.terminal || (::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1);
}

std::optional<std::chrono::nanoseconds> timeout_of(const ExecArguments& arguments) {
  constexpr uint64_t kYear = uint64_t{366} * 24 * 60 * 60;
  const uint64_t seconds = parse_number("--timeout", arguments.timeout, 0, kYear);
  return seconds == 0 ? std::nullopt
                      : std::optional<std::chrono::nanoseconds>(std::chrono::seconds(seconds));
}

pc::PcSpec machine_of(const ExecArguments& arguments) {
  std::vector<pc::Option> words{{"memory", kMemory}};
  words.insert(words.end(), arguments.machine.begin(), arguments.machine.end());
  pc::PcSpec spec = pc::read_options("", words, "--");
  spec.boot.kernel = arguments.kernel.empty() ? find_kernel() : fs::path(arguments.kernel);
  spec.boot.cmdline = kCommandLine;
  if (!arguments.append.empty()) spec.boot.cmdline += ' ' + arguments.append;
  spec.no_reboot = true;
  return spec;
}

// Before the machine starts: its agent takes no longer message.
void check_size(const ExecOptions& options) {
  constexpr size_t kRest = size_t{16} * 1024;  // all that is neither an argument nor a variable
  size_t size = kRest;
  for (const auto* texts : {&options.command, &options.environment})
    for (const std::string& text : *texts) size += text.size() + 1;
  if (size > agent::kMaxToGuest)
    throw ConfigError(fmt::format(
        "the command and its environment have {} bytes, more than the {} that a sandbox takes: "
        "pass what is long in a file",
        size - kRest, agent::kMaxToGuest - kRest));
}

bool is_user(const pc::NetInterface& interface) {
  return std::holds_alternative<dev::UserNetConfig>(interface.network);
}

}  // namespace

ExecOptions resolve(const ExecArguments& arguments) {
  if (arguments.command.empty() || arguments.command.front().empty())
    throw ConfigError("which command is to be run? vireo exec [options] -- COMMAND ARGUMENT...");
  ExecOptions options;
  options.spec = machine_of(arguments);
  add_shares(options, arguments);
  check(options.spec);
  options.user_network = !options.spec.nets.empty() && is_user(options.spec.nets.front());
  options.terminal = wants_terminal(arguments);
  options.directory = arguments.directory.value_or(own_directory(options, root_of(arguments)));
  options.user = arguments.user.value_or("");
  options.environment = environment_of(arguments, options.terminal);
  options.command = arguments.command;
  check_size(options);
  options.timeout = timeout_of(arguments);
  options.log = Logger::to_stderr(
      with_context("--log-level", [&] { return parse_log_level(arguments.log_level); }));
  return options;
}

void add_exec_options(Options& exec, ExecArguments& a) {
  exec.footer(kFooter);
  const auto machine = [&](const char* name, const char* value, const char* help) {
    return exec.option(
        std::string("--") + name, value,
        [&a, name](const std::string& text) {
          a.machine.push_back({name, text});
        },
        help);
  };
  exec.option("--kernel", "FILE", a.kernel,
              "A bzImage; without, the newest in /boot that can be read, or that of "
              "tools/fetch-kernel full");
  exec.option("--append", "STR", a.append, "More words for the kernel's command line");
  exec.option("--root", "host|DIR", a.root, "The root directory, which is only read")
      .show_default();
  exec.option("--rw", "DIR", a.writable,
              "A directory of the host that the command writes to, at its own path; repeatable");
  exec.option("--cwd", "DIR", a.directory,
              "Where the command starts; without, where vireo was called, if that can be seen "
              "inside");
  exec.option("--user", "NAME|UID[:GROUP|GID]", a.user,
              "Who runs it, as the root's passwd has it; without, root");
  exec.option("--env", "NAME[=VALUE]", a.environment,
              "A variable of its environment, with vireo's own value unless one is given; "
              "repeatable");
  const Option terminal = exec.flag("--tty", a.terminal, "The command has a terminal");
  exec.flag("--no-tty", a.no_terminal,
            "It has none; without either, it has one if vireo's input and output are one")
      .exclude(terminal);
  machine("cpus", "N", "vCPUs, 1 to 64").say_default("1");
  machine("memory", "SIZE", "The guest's memory").say_default(kMemory);
  machine("net", "SPEC", "A network, as of vireo run; none without; repeatable");
  machine("share", "SPEC", "A directory for the command to mount, as of vireo run; repeatable");
  machine("disk", "SPEC", "A disk, as of vireo run; repeatable");
  exec.option("--timeout", "SECONDS", a.timeout,
              "The machine ends after that time, whatever it does; 0: it has as long as it takes")
      .show_default();
  exec.option("--result", "FILE", a.result, "How it ended, and what took how long, in JSON");
  exec.option("--log-level", "LEVEL", a.log_level, "trace, debug, info, warn, error or off")
      .show_default();
  exec.operands("COMMAND", a.command, "The command and its arguments, behind --");
}

}  // namespace vireo::cli
