#include "tools/vireo/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "vmm/base/error.h"

namespace vireo::cli {

// open() gives the lowest number that is free.
void open_missing_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    if (::open("/dev/null", O_RDWR | O_NOCTTY) != fd)
      throw_errno("a standard stream is closed, and /dev/null cannot be opened in its place");
  }
}

void flush_standard_output() {
  errno = EIO;  // where an earlier failure left no reason
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    throw_errno("cannot write to standard output");
}

}  // namespace vireo::cli
