// An engine for descriptors that have no useful asynchronous interface (the page cache): blocking
// calls on the worker pool. Reads that the page cache can answer at once are answered on the loop.
//
// Thread: the loop's. Owns no thread; many engines may share a pool.
#pragma once

#include <cstddef>

#include "blockdev/engine/io_engine.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/worker_pool.h"

namespace vireo::blk {

// Operations as blocking calls on the pool; each waiter is resumed in a later turn of the loop.
class PoolCalls {
 public:
  PoolCalls(EventLoop& loop, WorkerPool& pool) noexcept : loop_(loop), pool_(pool) {}
  void submit(IoOp& op);
  size_t in_flight() const noexcept { return in_flight_; }

 private:
  EventLoop& loop_;
  WorkerPool& pool_;
  size_t in_flight_ = 0;
};

class ThreadEngine final : public IoEngine {
 public:
  ThreadEngine(EventLoop& loop, WorkerPool& pool);
  ~ThreadEngine() override;

  void submit(IoOp& op) override {
    queue_.push(op);
    loop_.turn_again();  // when it comes from a hook, ours may have had its turn already
  }

 private:
  void turn();

  EventLoop& loop_;
  PoolCalls calls_;
  IoQueue queue_;
  EventLoop::Registration hook_;
};

}  // namespace vireo::blk
