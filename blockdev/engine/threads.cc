#include "blockdev/engine/threads.h"

#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "blockdev/node.h"
#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

// Copying more than this on the loop would keep the other devices waiting.
constexpr uint64_t kInlineBytes = 64 * 1024;
constexpr int kInlineReadsPerTurn = 64;
constexpr size_t kResumedTogether = 8;

ssize_t transfer(const IoOp& op, int flags) noexcept {
  const int count = static_cast<int>(op.vectors.size());
  const auto offset = static_cast<off_t>(op.offset);
  if (op.kind == IoOp::Kind::read) return ::preadv2(op.fd, op.vectors.data(), count, offset, flags);
  return ::pwritev2(op.fd, op.vectors.data(), count, offset, flags);
}

bool is_small_read(const IoOp& op) noexcept {
  if (op.kind != IoOp::Kind::read) return false;
  uint64_t total = 0;
  for (const iovec& vector : op.vectors) total += vector.iov_len;
  return total <= kInlineBytes;
}

// Reads what is in the page cache; false when the operation has to wait for the disk.
bool try_cached(IoOp& op) noexcept {
  const ssize_t moved = transfer(op, RWF_NOWAIT);
  if (moved < 0) return false;
  op.result = moved;
  return true;
}

// The blocking call behind `op`: bytes or -errno.
int64_t perform(const IoOp& op) noexcept {
  while (true) {
    const ssize_t result = op.kind == IoOp::Kind::fdatasync
                               ? ::fdatasync(op.fd)
                               : transfer(op, op.durable ? RWF_DSYNC : 0);
    if (result >= 0) return result;
    if (errno != EINTR) return -errno;
  }
}

}  // namespace

void PoolCalls::submit(IoOp& op) {
  ++in_flight_;
  pool_.submit([this, &op] {
    op.result = perform(op);
    loop_.post([this, &op] {
      --in_flight_;
      op.waiter.resume();
    });
  });
}

void SerialCalls::submit(IoOp& op) {
  queue_.push(op);
  if (!running_) start();
}

void SerialCalls::start() {
  running_ = true;
  pool_.submit([this, queue = std::exchange(queue_, IoQueue{})]() mutable {
    while (!queue.empty()) {
      IoQueue finished;
      for (size_t i = 0; i < kResumedTogether && !queue.empty(); ++i) {
        IoOp& op = queue.pop();
        op.result = perform(op);
        finished.push(op);
      }
      loop_.post([this, finished, is_last = queue.empty()] { finish(finished, is_last); });
    }
  });
}

// A resumed coroutine may queue the next operation, or let go of the engine.
void SerialCalls::finish(IoQueue finished, bool is_last) {
  if (is_last) running_ = false;
  if (is_last && !queue_.empty()) start();
  while (!finished.empty()) finished.pop().waiter.resume();
}

ThreadEngine::ThreadEngine(EventLoop& loop, WorkerPool& pool, Files files)
    : loop_(loop),
      files_(files),
      calls_(loop, pool),
      writes_(loop, pool),
      hook_(loop.each_turn([this] { turn(); })) {}

ThreadEngine::~ThreadEngine() {
  VMM_CHECK(queue_.empty() && calls_.in_flight() == 0 && writes_.idle(),
            "an engine is idle before it is destroyed");
}

bool ThreadEngine::finished_at_once(IoOp& op) const noexcept {
  return files_ == Files::cached && is_small_read(op) && try_cached(op);
}

// Durable writes wait for the disk, where the file's lock is not held.
void ThreadEngine::call(IoOp& op) {
  if (files_ == Files::cached && op.kind == IoOp::Kind::write && !op.durable)
    writes_.submit(op);
  else
    calls_.submit(op);
}

// A resumed coroutine may queue the next operation, or let go of the engine.
void ThreadEngine::turn() {
  IoQueue finished;
  for (int tried = 0; !queue_.empty() && tried < kInlineReadsPerTurn; ++tried) {
    IoOp& op = queue_.pop();
    if (finished_at_once(op))
      finished.push(op);
    else
      call(op);
  }
  if (!queue_.empty() || !finished.empty()) loop_.turn_again();
  while (!finished.empty()) finished.pop().waiter.resume();
}

}  // namespace vireo::blk
