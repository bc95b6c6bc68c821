#include "vmm/base/fd_readiness.h"

#include <sys/epoll.h>

namespace vireo {

FdReadiness::FdReadiness(EventLoop& loop, int fd)
    : watch_(loop.watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                        [state = state_](uint32_t events) {
                          constexpr uint32_t kEnded = EPOLLHUP | EPOLLERR;
                          if ((events & (EPOLLOUT | kEnded)) != 0) state->writable.set();
                          if ((events & (EPOLLIN | EPOLLRDHUP | kEnded)) != 0)
                            state->readable.set();
                        })) {}

}  // namespace vireo
