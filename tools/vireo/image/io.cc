#include "tools/vireo/image/io.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "tools/vireo/exit_status.h"
#include "tools/vireo/image/dialect.h"
#include "tools/vireo/image/io_shell.h"
#include "vmm/base/error.h"

namespace vireo::cli {

namespace {

constexpr int kCommandFailed = 1;  // as qemu-io's

struct IoArguments {
  IoImage image;
  bool uncached = false, native = false;
  std::vector<std::string> commands;
};

// Lines from standard input. While it waits the loop goes on, with what is under way.
class Lines {
 public:
  explicit Lines(Session& session) : session_(session) {}

  std::optional<std::string> next() {
    for (size_t end = buffer_.find('\n'); end == std::string::npos; end = buffer_.find('\n')) {
      if (wait() && more()) continue;
      if (buffer_.empty()) return std::nullopt;
      return std::exchange(buffer_, {});  // the last one may lack its end
    }
    const size_t end = buffer_.find('\n');
    const std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 1);
    return line;
  }

 private:
  bool wait() {
    bool ready = false;
    EventLoop::Registration watch;
    try {
      watch = session_.loop().watch(STDIN_FILENO, EPOLLIN, [&](uint32_t) { ready = true; });
    } catch (const std::system_error&) {
      return true;  // a regular file, which never lets anybody wait
    }
    while (!ready && !session_.interrupted()) session_.loop().step(std::chrono::seconds(1));
    return ready;
  }
  bool more() {
    std::array<char, 4096> part;
    const ssize_t got = ::read(STDIN_FILENO, part.data(), part.size());
    if (got <= 0) return false;
    buffer_.append(part.data(), static_cast<size_t>(got));
    return true;
  }

  Session& session_;
  std::string buffer_;
};

bool run_lines(Session& session, IoShell& shell) {
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  Lines lines(session);
  bool good = true;
  while (!shell.quits()) {
    if (terminal || speaks_qemu()) std::fputs(speaks_qemu() ? "qemu-io> " : "vireo-io> ", stdout);
    std::fflush(stdout);
    const std::optional<std::string> line = lines.next();
    if (!line) break;
    good = shell.execute(*line) && good;
  }
  return good;
}

bool run_commands(Session& session, IoShell& shell, const std::vector<std::string>& commands) {
  if (commands.empty()) return run_lines(session, shell);
  bool good = true;
  for (size_t i = 0; i < commands.size() && !shell.quits(); ++i) {
    session.stop_if_interrupted();
    good = shell.execute(commands[i]) && good;
  }
  return good;
}

int io(IoArguments arguments) {
  if (arguments.uncached) arguments.image.image.cache = "none";
  if (arguments.native) arguments.image.image.aio = "native";
  Session session;
  IoShell shell(session, arguments.image);
  if (!arguments.image.image.path.empty()) {
    try {
      shell.open();
    } catch (const Interrupted&) {
      throw;
    } catch (const std::exception& error) {
      complain(describe(error));
      return kCommandFailed;
    }
  }
  const bool good = run_commands(session, shell, arguments.commands);
  return shell.finish() && good ? kOk : kCommandFailed;
}

}  // namespace

void add_io(Options& image) {
  Options command = image.command("io", kIoSummary);
  add_io_options(command);
}

void add_io_options(Options& command) {
  auto arguments = std::make_shared<IoArguments>();
  command.footer(
      "  vireo image io -c 'write -P 0x11 0 64k' -c 'read -P 0x11 0 64k' disk.qcow2\n"
      "Without -c, commands come from standard input, one on a line. 'help' lists them, and\n"
      "'help COMMAND' tells about one. They are qemu-io's, and so is what they print.\n\n"
      "Exit status: 0, or 1 when a command failed, a pattern differed or FILE cannot be opened.");
  command.option("-c,--cmd", "COMMAND", arguments->commands,
                 "A command; may be given several times");
  add_image_options(command, arguments->image.image, false);
  command.flag("-r,--read-only", arguments->image.read_only, "Open the image for reading");
  command.flag("-s,--snapshot", arguments->image.snapshot, "Throw away at the end what is written");
  command.flag("-n,--nocache", arguments->uncached, "The same as -t none");
  command.option("-t,--cache", "CACHE", arguments->image.image.cache, "Cache mode of the image")
      .show_default();
  command.option("-i,--aio", "AIO", arguments->image.image.aio,
                 "threads, native (needs -t none) or io_uring (the best that there is)");
  command.flag("-k,--native-aio", arguments->native, "The same as -i native");
  command.option("-d,--discard", "MODE", arguments->image.discard, "ignore or off; unmap or on")
      .one_of({"ignore", "off", "unmap", "on"});
  command.action([arguments] { return io(*arguments); });
}

}  // namespace vireo::cli
