// A library for LD_PRELOAD that lets calls of the host fail: of the kind that SOAK_FAIL names, the
// N-th one (SOAK_FAIL=KIND:N), or every N-th one (SOAK_FAIL=KIND:every:N). Kinds: descriptor
// (EMFILE), memory (std::bad_alloc, ENOMEM), thread (EAGAIN), disk (ENOSPC, EIO), network (ENOBUFS,
// ENOMEM).
//
// Any thread. It allocates nothing.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

struct Plan {
  const char* kind = nullptr;
  size_t kind_length = 0;
  unsigned long number = 0;
  bool every = false;
};

Plan read_plan() noexcept {
  const char* const text = std::getenv("SOAK_FAIL");
  const char* const colon = text == nullptr ? nullptr : std::strchr(text, ':');
  if (colon == nullptr) return {};
  const bool every = std::strncmp(colon, ":every:", 7) == 0;
  return {text, static_cast<size_t>(colon - text),
          std::strtoul(colon + (every ? 7 : 1), nullptr, 10), every};
}

bool fails(const char* kind) noexcept {
  static const Plan plan = read_plan();
  static std::atomic<unsigned long> calls{0};
  if (plan.number == 0 || std::strlen(kind) != plan.kind_length ||
      std::strncmp(kind, plan.kind, plan.kind_length) != 0)
    return false;
  const unsigned long call = calls.fetch_add(1) + 1;
  return plan.every ? call % plan.number == 0 : call == plan.number;
}

template <class Function>
Function next(const char* name) noexcept {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

bool fails_with(const char* kind, int error) noexcept {
  if (!fails(kind)) return false;
  errno = error;
  return true;
}

}  // namespace

// SOAK_CALL(KIND, ERROR, NAME, PARAMETERS, ARGUMENTS): a function that gives -1 when it fails.
#define SOAK_CALL(kind, error, type, name, parameters, arguments) \
  extern "C" type name parameters {                               \
    static const auto real = next<type(*) parameters>(#name);     \
    return fails_with(kind, error) ? type{-1} : real arguments;   \
  }

SOAK_CALL("descriptor", EMFILE, int, socket, (int domain, int type, int protocol),
          (domain, type, protocol))
SOAK_CALL("descriptor", EMFILE, int, accept4,
          (int fd, struct sockaddr* address, socklen_t* length, int flags),
          (fd, address, length, flags))
SOAK_CALL("descriptor", EMFILE, int, eventfd, (unsigned int value, int flags), (value, flags))
SOAK_CALL("descriptor", EMFILE, int, timerfd_create, (int clock, int flags), (clock, flags))
SOAK_CALL("descriptor", EMFILE, int, epoll_create1, (int flags), (flags))
SOAK_CALL("descriptor", EMFILE, int, memfd_create, (const char* name, unsigned int flags),
          (name, flags))
SOAK_CALL("descriptor", ENOSPC, int, epoll_ctl,
          (int fd, int what, int of, struct epoll_event* event), (fd, what, of, event))
SOAK_CALL("network", ENOBUFS, ssize_t, sendmsg, (int fd, const struct msghdr* message, int flags),
          (fd, message, flags))
SOAK_CALL("network", ENOMEM, ssize_t, recv, (int fd, void* into, size_t size, int flags),
          (fd, into, size, flags))
SOAK_CALL("network", ENOMEM, ssize_t, recvmsg, (int fd, struct msghdr* message, int flags),
          (fd, message, flags))
SOAK_CALL("disk", EIO, ssize_t, pread, (int fd, void* into, size_t size, off_t at),
          (fd, into, size, at))
SOAK_CALL("disk", EIO, ssize_t, preadv2,
          (int fd, const struct iovec* into, int count, off_t at, int flags),
          (fd, into, count, at, flags))
SOAK_CALL("disk", ENOSPC, ssize_t, pwrite, (int fd, const void* from, size_t size, off_t at),
          (fd, from, size, at))
SOAK_CALL("disk", ENOSPC, ssize_t, pwritev2,
          (int fd, const struct iovec* from, int count, off_t at, int flags),
          (fd, from, count, at, flags))
SOAK_CALL("disk", EIO, int, fdatasync, (int fd), (fd))
SOAK_CALL("disk", ENOSPC, int, ftruncate, (int fd, off_t size), (fd, size))
SOAK_CALL("disk", ENOSPC, int, fallocate, (int fd, int mode, off_t at, off_t length),
          (fd, mode, at, length))

extern "C" int open(const char* path, int flags, ...) {
  static const auto real = next<int (*)(const char*, int, ...)>("open");
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return fails_with("descriptor", EMFILE) ? -1 : real(path, flags, mode);
}

extern "C" void* mmap(void* at, size_t length, int protection, int flags, int fd, off_t offset) {
  using Map = void* (*)(void*, size_t, int, int, int, off_t);
  static const auto real = next<Map>("mmap");
  return fails_with("memory", ENOMEM) ? MAP_FAILED
                                      : real(at, length, protection, flags, fd, offset);
}

extern "C" int openat(int directory, const char* path, int flags, ...) {
  static const auto real = next<int (*)(int, const char*, int, ...)>("openat");
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return fails_with("descriptor", EMFILE) ? -1 : real(directory, path, flags, mode);
}

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*run)(void*), void* argument) {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto real = next<Create>("pthread_create");
  return fails("thread") ? EAGAIN : real(thread, attributes, run, argument);
}

void* operator new(size_t size) {
  static const auto real = next<void* (*)(size_t)>("_Znwm");
  if (fails("memory")) throw std::bad_alloc();
  return real(size);
}
