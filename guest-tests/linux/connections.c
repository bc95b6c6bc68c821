// Many TCP connections at the same time, each of which asks something and gets its answer.
//   connections serve PORT COUNT
//     status 0 once so many were answered and then ended by the other side
//   connections ADDRESS PORT COUNT
//     opens them all, then asks on each, then takes each answer, then ends them
// Either gives up, and says how far it came, when it takes longer than 100 s from the first
// connection.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <arpa/inet.h>

enum { kMost = 4000, kPatience = 100, kPatienceBefore = 3600 };

static int opened, answered, ended;

static void fail(const char* what) {
  dprintf(STDERR_FILENO, "%s (%m); %d opened, %d answered, %d ended\n", what, opened, answered,
          ended);
  _exit(1);
}

static void out_of_time(int number) {
  (void)number;
  fail("time is up");
}

static uint64_t answer_to(uint64_t question) {
  return ~question * 3;
}

// --- who asks ---

static int start(const struct sockaddr_in* to) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0) fail("cannot make a socket");
  connect(fd, (const struct sockaddr*)to, sizeof *to);
  return fd;
}

static void finish_opening(int fd) {
  struct pollfd ready = {.fd = fd, .events = POLLOUT};
  int error = 0;
  socklen_t length = sizeof error;
  poll(&ready, 1, -1);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) {
    errno = error;
    fail("a connection was refused");
  }
  if (fcntl(fd, F_SETFL, 0) != 0) fail("cannot wait for a connection");
  ++opened;
}

static void ask(int fd, uint64_t question) {
  if (send(fd, &question, sizeof question, MSG_NOSIGNAL) != sizeof question) fail("cannot ask");
}

static void take_answer(int fd, uint64_t question) {
  uint64_t answer = 0;
  if (recv(fd, &answer, sizeof answer, MSG_WAITALL) != sizeof answer) fail("no answer");
  if (answer != answer_to(question)) fail("a wrong answer");
  ++answered;
}

static int ask_all(const char* address, uint16_t port, int count) {
  static int fds[kMost];
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, address, &to.sin_addr) != 1) return 2;
  for (int i = 0; i < count; ++i) fds[i] = start(&to);
  for (int i = 0; i < count; ++i) finish_opening(fds[i]);
  for (int i = 0; i < count; ++i) ask(fds[i], (uint64_t)i << 32 | port);
  for (int i = 0; i < count; ++i) take_answer(fds[i], (uint64_t)i << 32 | port);
  for (int i = 0; i < count; ++i) ended += close(fds[i]) == 0;
  return 0;
}

// --- who answers ---

static int listen_on(uint16_t port) {
  const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (const struct sockaddr*)&any, sizeof any) != 0 || listen(fd, kMost) != 0)
    fail("cannot listen");
  return fd;
}

static void watch(int epoll, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  if (fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) fail("cannot take a connection");
}

static void answer(int fd) {
  uint64_t question = 0;
  const ssize_t length = recv(fd, &question, sizeof question, MSG_WAITALL);
  if (length == 0) {
    ++ended;
    close(fd);
    return;
  }
  question = answer_to(question);
  if (length != sizeof question || send(fd, &question, sizeof question, MSG_NOSIGNAL) != length)
    fail("a connection broke");
  ++answered;
}

static int serve(uint16_t port, int count) {
  const int listener = listen_on(port);
  const int epoll = epoll_create1(0);
  watch(epoll, listener);
  while (ended < count) {
    struct epoll_event event;
    if (epoll_wait(epoll, &event, 1, -1) != 1) continue;
    if (event.data.fd != listener) {
      answer(event.data.fd);
    } else {
      watch(epoll, accept(listener, NULL, NULL));
      if (opened++ == 0) alarm(kPatience);
    }
  }
  return answered == count ? 0 : 1;
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int count = atoi(argv[3]);
  struct rlimit files;
  if (count < 1 || count > kMost || getrlimit(RLIMIT_NOFILE, &files) != 0) return 2;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  signal(SIGALRM, out_of_time);
  const int serves = strcmp(argv[1], "serve") == 0;
  const uint16_t port = (uint16_t)atoi(argv[2]);
  alarm(serves ? kPatienceBefore : kPatience);
  return serves ? serve(port, count) : ask_all(argv[1], port, count);
}
