// The time of a request and its answer, one byte each, over TCP: what tools/bench compares networks by.
//   round_trip serve PORT
//   round_trip ADDRESS PORT COUNT      prints the microseconds of one, on average
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_in address_of(const char* address, const char* port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  inet_pton(AF_INET, address, &to.sin_addr);
  return to;
}

static void at_once(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int serve(const char* port) {
  const struct sockaddr_in any = address_of("0.0.0.0", port);
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (const struct sockaddr*)&any, sizeof any) != 0 || listen(listener, 1) != 0) return 1;
  while (1) {
    const int client = accept(listener, NULL, NULL);
    char byte;
    at_once(client);
    while (read(client, &byte, 1) == 1 && write(client, &byte, 1) == 1) {
    }
    close(client);
  }
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "serve") == 0) return serve(argv[2]);
  if (argc != 4) return 2;
  const struct sockaddr_in to = address_of(argv[1], argv[2]);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const int count = atoi(argv[3]);
  if (connect(fd, (const struct sockaddr*)&to, sizeof to) != 0) return 1;
  at_once(fd);
  const double begin = now();
  for (int i = 0; i < count; ++i) {
    char byte = 'x';
    if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) return 1;
  }
  printf("%.1f\n", (now() - begin) / count);
  return 0;
}
