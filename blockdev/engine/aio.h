// The kernel's asynchronous I/O (libaio) for O_DIRECT descriptors: what a turn of the loop queued
// is submitted together (in batches that grow, so that the disk is at work on the first while the
// later ones are prepared), completions are read from the ring the kernel shares with us, without a
// system call.
//
// At most `depth` operations are with the kernel; the others, and those it refuses with EAGAIN,
// wait in order of arrival for a completion. fdatasync falls back to the worker pool where the
// kernel or the file system has no asynchronous one.
//
// Thread: the loop's. Owns the context, its descriptor and the control blocks.
// Errors: throws when the system's limit of contexts is reached (fs.aio-max-nr); operations get
// their errors as -errno.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "blockdev/engine/io_engine.h"
#include "blockdev/engine/threads.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/fd.h"

struct io_context;
struct iocb;

namespace vireo::blk {

class AioEngine final : public IoEngine {
 public:
  static constexpr unsigned kDepth = 256;
  static constexpr unsigned kBatch = 8;  // large enough to merge neighbours and save calls

  AioEngine(EventLoop& loop, WorkerPool& pool, unsigned depth = kDepth);
  ~AioEngine() override;

  void submit(IoOp& op) override {
    queue_.push(op);
    loop_.turn_again();  // when it comes from a hook, ours may have had its turn already
  }

 private:
  struct Context;

  void turn();
  void submit_queued();
  long submit_batch();
  size_t prepare_batch();
  void refused(int error);
  void reap();
  void resume_finished();
  void retry_later();

  EventLoop& loop_;
  PoolCalls calls_;
  const unsigned depth_;
  std::unique_ptr<Context> context_;
  std::vector<iocb*> free_;   // control blocks not with the kernel; the last is used first
  std::vector<iocb*> batch_;  // those of the submission being made, in order
  IoQueue queue_;             // not with the kernel yet
  IoQueue finished_;          // results are there, waiters not resumed yet
  size_t in_flight_ = 0;
  bool fdatasync_works_ = true;
  UniqueFd event_;
  EventLoop::Registration watch_;
  EventLoop::Registration retry_;
  EventLoop::Registration hook_;
};

}  // namespace vireo::blk
