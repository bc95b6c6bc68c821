#include "agent/guest/process.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "agent/guest/user.h"

namespace vireo::agent {

namespace {

// The program's own ends of its streams, in the order of their numbers.
struct Ends {
  Fd fds[kStreams];
};

constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

void make_nonblocking(const Fd& fd) noexcept {
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

int make_pipe(Fd& read_end, Fd& write_end) noexcept {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return errno;
  read_end.reset(fds[0]);
  write_end.reset(fds[1]);
  return 0;
}

int make_pipes(Process& process, Ends& ends) noexcept {
  int error = make_pipe(ends.fds[0], process.in);
  if (!error) error = make_pipe(process.out, ends.fds[1]);
  if (!error) error = make_pipe(process.error, ends.fds[2]);
  if (error) return error;
  for (const Fd* fd : {&process.in, &process.out, &process.error}) make_nonblocking(*fd);
  return 0;
}

int make_terminal(const Exec& exec, Process& process, Ends& ends) noexcept {
  process.out.reset(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  const int master = process.out.get();
  int unlocked = 0;
  if (master < 0 || ::ioctl(master, TIOCSPTLCK, &unlocked) != 0) return errno;
  // By the master, so that it is found whatever lies at /dev/pts in the command's root.
  ends.fds[0].reset(::ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!ends.fds[0]) return errno;
  for (Fd* fd : {&ends.fds[1], &ends.fds[2]})
    fd->reset(::fcntl(ends.fds[0].get(), F_DUPFD_CLOEXEC, 0));
  process.in.reset(::fcntl(master, F_DUPFD_CLOEXEC, 0));
  if (!ends.fds[1] || !ends.fds[2] || !process.in) return errno;
  resize_terminal(master, {.rows = exec.rows, .columns = exec.columns});
  make_nonblocking(process.out);
  return 0;
}

// The texts as execve(2) wants them; nullptr without memory.
char** pointers_to(const Texts& texts) noexcept {
  auto** const pointers = static_cast<char**>(std::calloc(size_t{texts.count} + 1, sizeof(char*)));
  if (!pointers) return nullptr;
  size_t count = 0;
  texts.each([&](std::string_view text) { pointers[count++] = const_cast<char*>(text.data()); });
  return pointers;
}

// What a log-in would have set, unless the host did. In the child, whose environment it makes.
void complete_environment(const User& user) noexcept {
  ::setenv("PATH", kDefaultPath, 0);
  if (user.home[0] != '\0') ::setenv("HOME", user.home, 0);
  if (user.name[0] == '\0') return;
  ::setenv("USER", user.name, 0);
  ::setenv("LOGNAME", user.name, 0);
}

Failure take_streams(const Exec& exec, const Ends& ends) noexcept {
  ::setsid();
  for (int number = 0; number < static_cast<int>(kStreams); ++number)
    if (::dup2(ends.fds[number].get(), number) < 0) return {errno, Stage::streams};
  if (exec.terminal && ::ioctl(0, TIOCSCTTY, 0) != 0) return {errno, Stage::streams};
  return {};
}

// Its streams are its own, so that it can open them by their names (/dev/stderr), too.
Failure become(const User& user) noexcept {
  for (int number = 0; number < static_cast<int>(kStreams); ++number)
    if (::fchown(number, user.id, static_cast<gid_t>(-1)) != 0) return {errno, Stage::user};
  if (::setgroups(user.group_count, user.groups) != 0 || ::setgid(user.group) != 0 ||
      ::setuid(user.id) != 0)
    return {errno, Stage::user};
  return {};
}

void reset_signals() noexcept {
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// In the child. Returns only when it failed.
Failure execute(const Exec& exec, const Ends& ends, const User& user) noexcept {
  reset_signals();
  Failure failure = take_streams(exec, ends);
  if (!failure && !exec.user.view.empty()) failure = become(user);
  if (failure) return failure;
  const char* const directory = exec.directory.view.empty() ? "/" : exec.directory.c_str();
  if (::chdir(directory) != 0) return {errno, Stage::directory};
  char** const arguments = pointers_to(exec.arguments);
  environ = pointers_to(exec.environment);
  if (!arguments || !environ) return {ENOMEM, Stage::execute};
  complete_environment(user);
  ::execvp(arguments[0], arguments);
  return {errno, Stage::execute};
}

// The child's failure, if it has one: its end of the pipe closes when the program takes over.
Failure read_failure(const Fd& pipe) noexcept {
  Failure failure;
  ssize_t count;
  do count = ::read(pipe.get(), &failure, sizeof(failure));
  while (count < 0 && errno == EINTR);
  return count == sizeof(failure) ? failure : Failure{};
}

Failure fork_and_execute(const Exec& exec, const Ends& ends, const User& user,
                         pid_t& pid) noexcept {
  Fd told, tell;
  if (const int error = make_pipe(told, tell)) return {error, Stage::process};
  pid = ::fork();
  if (pid < 0) return {errno, Stage::process};
  if (pid == 0) {
    const Failure failure = execute(exec, ends, user);
    const ssize_t written = ::write(tell.get(), &failure, sizeof(failure));
    ::_exit(written == sizeof(failure) ? 127 : 126);
  }
  tell.reset();
  return read_failure(told);
}

}  // namespace

Failure start_process(const Exec& exec, Process& process) noexcept {
  if (exec.arguments.count == 0) return {EINVAL, Stage::request};
  User user;
  const bool found = exec.user.view.empty() ? find_own_user(user) : find_user(exec.user.view, user);
  if (!found && !exec.user.view.empty()) return {ENOENT, Stage::user};
  Ends ends;
  const int error = exec.terminal ? make_terminal(exec, process, ends) : make_pipes(process, ends);
  if (error) return {error, Stage::streams};
  return fork_and_execute(exec, ends, user, process.pid);
}

void resize_terminal(int master, const Resize& size) noexcept {
  const winsize wanted{.ws_row = size.rows, .ws_col = size.columns, .ws_xpixel = 0, .ws_ypixel = 0};
  ::ioctl(master, TIOCSWINSZ, &wanted);
}

}  // namespace vireo::agent
