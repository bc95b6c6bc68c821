// The real agent as an ordinary process of this host, at the other end of a socket, for tests.
#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <string>

#include "agent/host/session.h"
#include "vmm/base/error.h"
#include "vmm/base/fd.h"

namespace vireo::agent {

// The device's place, between the session and the socket.
class AgentProcess final : private dev::CharFrontend {
 public:
  AgentProcess(EventLoop& loop, const char* program, Session& session) : session_(session) {
    int ends[2];
    VMM_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "sockets are made");
    socket_.reset(ends[0]);
    const UniqueFd theirs(ends[1]);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(theirs.get(), STDIN_FILENO);
      ::execl(program, program, nullptr);
      ::_exit(127);
    }
    session_.open(loop, *this);
    watch_ = loop.watch(socket_.get(), EPOLLIN, [this](uint32_t) { read(); });
    session_.set_readable(true);
  }
  ~AgentProcess() {
    session_.close();
    close();
    wait();
  }
  void close() {
    watch_.reset();
    socket_.reset();
  }
  // Until it has ended: its exit status.
  int wait() {
    if (pid_ > 0) ::waitpid(std::exchange(pid_, -1), &status_, 0);
    return status_;
  }

  void send(Bytes bytes) {
    if (socket_) VMM_CHECK(!write_all(socket_.get(), bytes), "the agent takes what it is sent");
  }

 private:
  void receive(Bytes bytes) override { send(bytes); }
  void writable() override {}
  void read() {
    std::array<std::byte, 4096> bytes;
    const ssize_t count = ::read(socket_.get(), bytes.data(), bytes.size());
    if (count <= 0) return close();
    session_.write(std::span(bytes).first(static_cast<size_t>(count)));
  }

  Session& session_;
  UniqueFd socket_;
  pid_t pid_ = -1;
  int status_ = 0;
  EventLoop::Registration watch_;
};

}  // namespace vireo::agent
