// An engine for descriptors that have no useful asynchronous interface (the page cache): blocking
// calls on the worker pool. Reads that the page cache can answer at once are answered on the loop,
// the others side by side; writes into the page cache one after the other, because they would only
// wait for each other at the file's lock, and those that adjoin in one call. Of a file that is
// nothing but page cache (tmpfs), small writes are made on the loop, too.
//
// Thread: the loop's. Owns no thread; many engines may share a pool.
#pragma once

#include <cstddef>
#include <mutex>

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

// Writes as blocking calls made by one worker in the order they came, while there are any. Waiters
// are resumed in later turns of the loop, a few at a time.
class SerialWrites {
 public:
  SerialWrites(EventLoop& loop, WorkerPool& pool) noexcept : loop_(loop), pool_(pool) {}
  void submit(IoOp& op);
  bool idle() const noexcept { return under_way_ == 0; }

 private:
  void work();
  IoQueue next_batch();
  void finish(IoQueue finished);

  EventLoop& loop_;
  WorkerPool& pool_;
  size_t under_way_ = 0;  // not resumed yet
  std::mutex mutex_;
  IoQueue queue_;         // guarded by mutex_, as below
  bool working_ = false;  // a worker is at it
};

class ThreadEngine final : public IoEngine {
 public:
  // What the descriptors are: through the page cache, nothing but page cache, or O_DIRECT.
  enum class Files : uint8_t { cached, memory, direct };
  ThreadEngine(EventLoop& loop, WorkerPool& pool, Files files = Files::cached);
  ~ThreadEngine() override;

  void submit(IoOp& op) override {
    queue_.push(op);
    loop_.turn_again();  // when it comes from a hook, ours may have had its turn already
  }

 private:
  void turn();
  bool finished_at_once(IoOp& op) const noexcept;
  void call(IoOp& op);

  EventLoop& loop_;
  const Files files_;
  PoolCalls calls_;
  SerialWrites writes_;
  IoQueue queue_;
  EventLoop::Registration hook_;
};

}  // namespace vireo::blk
