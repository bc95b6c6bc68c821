// What the parts of the server share: the private types of Server. Included by server*.cc alone.
#pragma once

#include <fcntl.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "devices/p9/server.h"

namespace vireo::p9 {

// A request under way.
struct Server::Call {
  Call(const Exchange& parts, const Header& message, size_t head_size, uint64_t number) noexcept
      : exchange(parts), header(message), head(head_size), serial(number) {}

  const Exchange& exchange;
  const Header header;
  const size_t head;      // bytes of the message before its data
  const uint64_t serial;  // in order of arrival: a request only ever waits for earlier ones
  std::atomic<bool> flushed = false;
  Event finished{};    // its reply is sent
  std::string text{};  // that a reply points into
};

// An opened file or directory.
struct Server::OpenFile {
  OpenFile(Server& owner, SharedFd opened, uint32_t open_flags, bool is_directory)
      : server(owner),
        fd(std::move(opened)),
        flags(open_flags),
        directory(is_directory),
        serial(++owner.last_open_) {
    ++server.open_files_;
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() { --server.open_files_; }

  bool writable() const noexcept { return (flags & O_ACCMODE) != O_RDONLY; }

  Server& server;
  SharedFd fd;
  const uint32_t flags;
  const bool directory;
  const uint64_t serial;
  AsyncMutex listing{};        // who reads the directory
  uint64_t position = 0;       // the directory's, as the client knows it
  bool reads_at_once = true;   // until the host says that it can not
  bool writes_at_once = true;  // likewise
  bool has_locks = false;
};

// The value of an extended attribute on its way to or from the client.
struct Server::Xattr {
  Xattr(Server& owner, size_t size) noexcept : server(owner), reserved(size) {
    server.xattr_bytes_ += reserved;
  }
  Xattr(const Xattr&) = delete;
  Xattr& operator=(const Xattr&) = delete;
  ~Xattr() { server.xattr_bytes_ -= reserved; }

  Server& server;
  const size_t reserved;
  bool writing = false;
  std::string name{};
  int flags = 0;
  std::vector<std::byte> value{};
};

struct Server::Fid {
  Fid(NodePtr at, uint32_t user) noexcept : node(std::move(at)), uid(user) {}

  NodePtr node;
  uint32_t uid;  // whom the client acts for; kNoUid: it does not say
  std::shared_ptr<OpenFile> file{};
  std::shared_ptr<Xattr> xattr{};
};

struct Server::LockedFile {
  explicit LockedFile(UniqueFd host) noexcept : locks(std::move(host)) {}
  FileLocks locks;
};

// Work for the pool that is left undone when the client gives the request up in time.
template <class Function>
struct Server::Interruptible {
  Call& call;
  Function function;
  auto operator()() -> decltype(function()) {
    if (call.flushed) return Failure{EINTR};
    return function();
  }
};

// offload(), or the same by the loop's own thread where makes_short_calls().
template <class Function>
auto Server::on_host(Function& function) {
  struct Awaiter {
    decltype(offload(std::declval<WorkerPool&>(), std::declval<EventLoop&>(), function)) elsewhere;
    bool on_loop, here;
    bool await_ready() {
      if (here) call();
      return here;
    }
    void await_suspend(std::coroutine_handle<> handle) {
      if (!on_loop) return elsewhere.await_suspend(handle);
      elsewhere.loop.post([this, handle] {
        call();
        handle.resume();
      });
    }
    auto await_resume() { return elsewhere.await_resume(); }
    void call() { elsewhere.result.emplace(elsewhere.function()); }
  };
  return Awaiter{offload(pool_, loop_, function), makes_short_calls(), waits_here()};
}

}  // namespace vireo::p9
