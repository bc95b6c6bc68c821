#include "agent/guest/init.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <net/if.h>

#include "agent/guest/fd.h"
#include "agent/guest/file.h"
#include "agent/wire.h"

namespace vireo::agent {

namespace {

constexpr int kPortPatience = 60 * 1000;  // milliseconds

struct Mount {
  const char* type;
  const char* path;
  unsigned long flags;
  const char* options;
};
constexpr Mount kMounts[] = {
    {"devtmpfs", "/dev", MS_NOSUID, "mode=755"},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=620,gid=5,ptmxmode=666"},
    {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"proc", "/proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, nullptr},
    {"sysfs", "/sys", MS_NOSUID | MS_NOEXEC | MS_NODEV, nullptr},
    {"cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NOEXEC | MS_NODEV, nullptr},
    {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755"},
};

// A line on the kernel's console, for who looks why a machine did not come up.
void say(const char* what, const char* which, int error) noexcept {
  char line[256];
  const int length =
      std::snprintf(line, sizeof(line), "<3>vireo-agent: %s %s: error %d\n", what, which, error);
  const Fd log(::open("/dev/kmsg", O_WRONLY | O_CLOEXEC));
  if (log && length > 0 && ::write(log.get(), line, static_cast<size_t>(length)) < 0) return;
}

// A kernel without one of them is none that cannot run commands.
void mount_all() noexcept {
  for (const Mount& mount : kMounts) {
    ::mkdir(mount.path, 0755);
    if (::mount(mount.type, mount.path, mount.type, mount.flags, mount.options) != 0)
      say("cannot mount", mount.path, errno);
  }
}

void link_standard_files() noexcept {
  constexpr struct {
    const char *path, *target;
  } kLinks[] = {{"/dev/fd", "/proc/self/fd"},
                {"/dev/stdin", "/proc/self/fd/0"},
                {"/dev/stdout", "/proc/self/fd/1"},
                {"/dev/stderr", "/proc/self/fd/2"}};
  for (const auto& link : kLinks)
    if (::symlink(link.target, link.path) != 0) say("cannot make", link.path, errno);
}

void load_module(const char* path) noexcept {
  const Fd module(::open(path, O_RDONLY | O_CLOEXEC));
  if (::syscall(SYS_finit_module, module.get(), "", 0) != 0 && errno != EEXIST)
    say("cannot load", path, errno);
}

// They are named in order, and their memory is not needed any more.
void load_modules() noexcept {
  char path[32];
  for (unsigned number = 0;; ++number) {
    std::snprintf(path, sizeof(path), "/modules/%03u.ko", number);
    if (::access(path, F_OK) != 0) return;
    load_module(path);
    ::unlink(path);
  }
}

void start_loopback() noexcept {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) say("cannot start", "lo", errno);
}

// As many as a log-in shell of a large machine has: programs take their own measure by it.
void raise_descriptor_limit() noexcept {
  constexpr rlimit kFiles{1 << 16, 1 << 20};
  ::setrlimit(RLIMIT_NOFILE, &kFiles);
}

bool is_ours(const char* port) noexcept {
  char path[512];
  std::snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", port);
  const FileText file(path);
  std::string_view name = file.view();
  return take_until(name, '\n') == kPortName;
}

int open_port() noexcept {
  DIR* const ports = ::opendir("/sys/class/virtio-ports");
  int fd = -1;
  while (const dirent* entry = ports ? ::readdir(ports) : nullptr) {
    char path[512];
    std::snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
    if (fd < 0 && is_ours(entry->d_name)) fd = ::open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  if (ports) ::closedir(ports);
  return fd;
}

// The kernel knows the port before it knows that the host has it open.
bool is_connected(int port) noexcept {
  pollfd fd{port, POLLOUT, 0};
  return ::poll(&fd, 1, 0) == 1 && (fd.revents & (POLLOUT | POLLHUP)) == POLLOUT;
}

int await_port() noexcept {
  constexpr timespec kMillisecond{0, 1000 * 1000};
  int port = -1;
  for (int waited = 0; waited < kPortPatience; ++waited) {
    if (port < 0) port = open_port();
    if (port >= 0 && is_connected(port)) return port;
    ::nanosleep(&kMillisecond, nullptr);
  }
  say("cannot find", "the port to the host", ENODEV);
  power_off();
}

}  // namespace

int start_machine() noexcept {
  ::umask(022);
  mount_all();
  link_standard_files();
  load_modules();
  ::sethostname("vireo", 5);
  start_loopback();
  raise_descriptor_limit();
  return await_port();
}

void power_off() noexcept {
  ::sync();
  ::reboot(RB_POWER_OFF);
  ::reboot(static_cast<int>(RB_HALT_SYSTEM));
  while (true) ::pause();
}

}  // namespace vireo::agent
