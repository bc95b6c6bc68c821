// How the lowest nodes move bytes between memory and descriptors without waiting.
//
// Thread: the loop's. submit() only queues; an engine submits the batch at the end of the turn and
// never completes an operation inside submit(). The IoOp lives in the awaiting coroutine's frame.
// Results are the kernel's: a transfer may be short, 0 is the end of a file.
#pragma once

#include <sys/uio.h>

#include <coroutine>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>

namespace vireo::blk {

struct IoOp {
  enum class Kind : uint8_t { read, write, fdatasync };

  Kind kind;
  int fd;
  uint64_t offset;
  std::span<const iovec> vectors;  // at most IOV_MAX of them
  bool durable = false;            // a write that is on stable storage when it completes
  int64_t result = 0;              // bytes, or -errno
  std::coroutine_handle<> waiter{};
  IoOp* next = nullptr;  // the engine's queue
};

// First in, first out, through IoOp::next.
class IoQueue {
 public:
  bool empty() const noexcept { return first_ == nullptr; }
  IoOp* front() const noexcept { return first_; }
  void push(IoOp& op) noexcept {
    op.next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = &op;
    last_ = &op;
  }
  IoOp& pop() noexcept {
    IoOp& op = *first_;
    first_ = std::exchange(op.next, nullptr);
    return op;
  }

 private:
  IoOp* first_ = nullptr;
  IoOp* last_ = nullptr;
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
