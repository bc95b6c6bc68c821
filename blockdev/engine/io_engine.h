// How the lowest nodes move bytes between memory and descriptors without waiting.
//
// Thread: the loop's. submit() only queues; an engine submits the batch at the end of the turn and
// never completes an operation inside submit(). The IoOp lives in the awaiting coroutine's frame.
#pragma once

#include <sys/uio.h>

#include <coroutine>
#include <cstdint>
#include <span>
#include <system_error>

namespace vireo::blk {

struct IoOp {
  enum class Kind : uint8_t { read, write, fdatasync };

  Kind kind;
  int fd;
  uint64_t offset;
  std::span<const iovec> vectors;
  int64_t result = 0;  // bytes, or -errno
  std::coroutine_handle<> waiter{};
  IoOp* next = nullptr;  // the engine's queue
};

class IoEngine {
 public:
  IoEngine() = default;
  IoEngine(const IoEngine&) = delete;
  IoEngine& operator=(const IoEngine&) = delete;
  virtual ~IoEngine() = default;  // nothing may be under way

  virtual void submit(IoOp& op) = 0;

  // const int64_t result = co_await engine.run(op);
  auto run(IoOp& op) noexcept {
    struct Awaiter {
      IoEngine& engine;
      IoOp& op;
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) const {
        op.waiter = handle;
        engine.submit(op);
      }
      int64_t await_resume() const noexcept { return op.result; }
    };
    return Awaiter{*this, op};
  }
};

}  // namespace vireo::blk
