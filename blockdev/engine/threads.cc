#include "blockdev/engine/threads.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <utility>

#include "blockdev/node.h"
#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

// Copying more than this on the loop would keep the other devices waiting.
constexpr uint64_t kInlineBytes = 64 * 1024;
constexpr int kInlinePerTurn = 64;
constexpr size_t kResumedTogether = 8;
constexpr uint64_t kRunBytes = 1024 * 1024;  // of neighbours in one call

ssize_t transfer(const IoOp& op, int flags) noexcept {
  const int count = static_cast<int>(op.vectors.size());
  const auto offset = static_cast<off_t>(op.offset);
  if (op.kind == IoOp::Kind::read) return ::preadv2(op.fd, op.vectors.data(), count, offset, flags);
  return ::pwritev2(op.fd, op.vectors.data(), count, offset, flags);
}

// False when the operation has to wait for the disk.
bool try_at_once(IoOp& op, int flags) noexcept {
  const ssize_t moved = transfer(op, flags);
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

// The first of the queue, and those that go on where the one before them ends, for one call.
IoQueue take_run(IoQueue& queue) noexcept {
  IoQueue run;
  const IoOp& first = *queue.front();
  uint64_t bytes = 0;
  size_t vectors = 0;
  const IoOp* next = &first;
  do {
    bytes += total_length(next->vectors);
    vectors += next->vectors.size();
    run.push(queue.pop());
    next = queue.front();
  } while (next != nullptr && next->fd == first.fd && next->offset == first.offset + bytes &&
           bytes + total_length(next->vectors) <= kRunBytes &&
           vectors + next->vectors.size() <= IOV_MAX);
  return run;
}

bool perform_together(const IoQueue& run) noexcept {
  std::array<iovec, IOV_MAX> vectors;
  auto end = vectors.begin();
  for (const IoOp* op = run.front(); op != nullptr; op = op->next)
    end = std::copy(op->vectors.begin(), op->vectors.end(), end);
  IoOp whole = *run.front();
  whole.vectors = {vectors.begin(), end};
  return perform(whole) == static_cast<int64_t>(total_length(whole.vectors));
}

// What fails or falls short together is done again one by one: each has its own result.
void perform_run(IoQueue run, IoQueue& finished) noexcept {
  const bool all_done = run.front()->next != nullptr && perform_together(run);
  while (!run.empty()) {
    IoOp& op = run.pop();
    op.result = all_done ? static_cast<int64_t>(total_length(op.vectors)) : perform(op);
    finished.push(op);
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

void SerialWrites::submit(IoOp& op) {
  ++under_way_;
  {
    const std::lock_guard lock(mutex_);
    queue_.push(op);
    if (std::exchange(working_, true)) return;
  }
  pool_.submit([this] { work(); });
}

// Empty when there is nothing left to do: the worker ends then, and the next write starts another.
IoQueue SerialWrites::next_batch() {
  const std::lock_guard lock(mutex_);
  IoQueue batch;
  for (size_t i = 0; i < kResumedTogether && !queue_.empty(); ++i) batch.push(queue_.pop());
  working_ = !batch.empty();
  return batch;
}

// The last waiters may let go of the engine: nothing of it is touched once they have been posted.
void SerialWrites::work() {
  for (IoQueue batch = next_batch(); !batch.empty();) {
    IoQueue finished;
    while (!batch.empty()) perform_run(take_run(batch), finished);
    batch = next_batch();
    loop_.post([this, finished] { finish(finished); });
  }
}

// A resumed coroutine may queue the next operation, or let go of the engine.
void SerialWrites::finish(IoQueue finished) {
  while (!finished.empty()) {
    --under_way_;
    finished.pop().waiter.resume();
  }
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
  if (files_ == Files::direct || total_length(op.vectors) > kInlineBytes) return false;
  if (op.kind == IoOp::Kind::read) return try_at_once(op, files_ == Files::cached ? RWF_NOWAIT : 0);
  return op.kind == IoOp::Kind::write && files_ == Files::memory && writes_.idle() &&
         try_at_once(op, 0);
}

// Durable writes wait for the disk, where the file's lock is not held.
void ThreadEngine::call(IoOp& op) {
  if (files_ != Files::direct && op.kind == IoOp::Kind::write && !op.durable)
    writes_.submit(op);
  else
    calls_.submit(op);
}

// A resumed coroutine may queue the next operation, or let go of the engine.
void ThreadEngine::turn() {
  IoQueue finished;
  for (int tried = 0; !queue_.empty() && tried < kInlinePerTurn; ++tried) {
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
