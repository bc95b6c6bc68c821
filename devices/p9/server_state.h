// What the parts of the server share: the private types of Server. Included by server*.cc alone.
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "devices/p9/server.h"

namespace vireo::p9 {

// A request under way.
struct Server::Call {
  Call(const Exchange& parts, const Header& message, size_t head_size, uint64_t number) noexcept
      : exchange(parts), header(message), head(head_size), serial(number) {}

  FidPtr find(uint32_t fid) const { return session->fids.find(fid); }
  // The same, but of those that stand for a file.
  FidPtr find_file(uint32_t fid) const {
    FidPtr found = find(fid);
    return found && found->xattr ? nullptr : found;
  }
  // Bytes of its reply at most.
  uint64_t room() const noexcept {
    return std::min<uint64_t>(total_length(exchange.reply), session->max_message);
  }
  // Of an Rread, which carries its count before the data.
  uint64_t data_room() const noexcept {
    constexpr uint64_t kBefore = kHeaderSize + sizeof(uint32_t);
    return std::max(room(), kBefore) - kBefore;
  }
  // Whole pages, so that large transfers stay aligned.
  uint32_t io_unit() const noexcept {
    constexpr uint32_t kPage = 4096;
    const uint32_t most = session->max_message - kIoHeader;
    return most < kPage ? most : most / kPage * kPage;
  }

  const Exchange& exchange;
  const Header header;
  const size_t head;      // bytes of the message before its data
  const uint64_t serial;  // in order of arrival: a request only ever waits for earlier ones
  std::shared_ptr<Session> session{};  // the one that it belongs to, from its turn to its reply
  std::atomic<bool> flushed = false;
  Event finished{};    // its reply is sent
  std::string text{};  // that a reply points into
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
  return Awaiter{offload(*pool_, loop_, function), makes_short_calls(), waits_here()};
}

}  // namespace vireo::p9
