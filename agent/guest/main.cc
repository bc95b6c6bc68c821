// vireo-agent: runs commands in a guest for its host (docs/agent.md). The first process of a
// machine brings that up and ends it; any other speaks over its standard input, which is the port:
//
//   vireo-agent 0<>/dev/virtio-ports/vireo.agent
#include <fcntl.h>
#include <unistd.h>

#include "agent/guest/agent.h"
#include "agent/guest/init.h"

namespace {

// The standard streams are no place for other files to come to lie at.
void open_missing_streams() {
  while (true) {
    const int fd = ::open("/dev/null", O_RDWR);
    if (fd > STDERR_FILENO) ::close(fd);
    if (fd < 0 || fd > STDERR_FILENO) return;
  }
}

// Out of the way of what commands get as their standard input.
int take_standard_input() {
  const int port = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  ::close(STDIN_FILENO);
  return port;
}

}  // namespace

int main() {
  const bool is_first = ::getpid() == 1;
  const int port = is_first ? vireo::agent::start_machine() : take_standard_input();
  open_missing_streams();
  static vireo::agent::Agent agent(port);
  agent.run();
  if (is_first) vireo::agent::power_off();
  return 0;
}
