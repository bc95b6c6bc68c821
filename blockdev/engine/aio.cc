#include "blockdev/engine/aio.h"

#include <libaio.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <utility>

#include "vmm/base/error.h"

namespace vireo::blk {

namespace {

constexpr auto kRetryDelay = std::chrono::milliseconds(1);

// The head of the completion ring as the kernel maps it at the context's address
// (fs/aio.c, struct aio_ring); the io_events follow it. The reader owns `head`.
struct Ring {
  unsigned id;
  unsigned capacity;
  unsigned head;
  unsigned tail;
  unsigned magic;
  unsigned compatible_features;
  unsigned incompatible_features;
  unsigned header_length;
};
static_assert(sizeof(Ring) == 32);
constexpr unsigned kRingMagic = 0xa10a10a1;

bool is_readable(const Ring& ring) noexcept {
  return ring.magic == kRingMagic && ring.incompatible_features == 0 &&
         ring.header_length == sizeof(Ring);
}

IoOp& op_of(const iocb& block) noexcept {
  return *static_cast<IoOp*>(block.data);
}

void prepare(iocb& block, IoOp& op, int event) noexcept {
  const int count = static_cast<int>(op.vectors.size());
  const auto offset = static_cast<long long>(op.offset);
  switch (op.kind) {
    case IoOp::Kind::read:
      ::io_prep_preadv(&block, op.fd, op.vectors.data(), count, offset);
      break;
    case IoOp::Kind::write:
      ::io_prep_pwritev(&block, op.fd, op.vectors.data(), count, offset);
      block.aio_rw_flags = op.durable ? RWF_DSYNC : 0;
      break;
    case IoOp::Kind::fdatasync:
      ::io_prep_fdsync(&block, op.fd);
      break;
  }
  block.data = &op;
  ::io_set_eventfd(&block, event);
}

}  // namespace

struct AioEngine::Context {
  explicit Context(unsigned depth) : blocks(depth) {
    const int error = ::io_setup(static_cast<int>(depth), &id);
    if (error < 0)
      throw_errno("cannot set up asynchronous disk I/O (is sysctl fs.aio-max-nr exhausted?)",
                  -error);
    ring = reinterpret_cast<Ring*>(id);
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { ::io_destroy(id); }

  // Up to `into.size()` completions.
  size_t take(std::span<io_event> into) noexcept {
    return is_readable(*ring) ? take_from_ring(into) : take_by_call(into);
  }
  size_t take_from_ring(std::span<io_event> into) noexcept {
    const auto* events = reinterpret_cast<const io_event*>(ring + 1);
    const unsigned tail = std::atomic_ref(ring->tail).load(std::memory_order_acquire);
    unsigned head = ring->head;
    size_t taken = 0;
    for (; head != tail && taken < into.size(); ++taken) {
      into[taken] = events[head];
      head = (head + 1) % ring->capacity;
    }
    std::atomic_ref(ring->head).store(head, std::memory_order_release);
    return taken;
  }
  size_t take_by_call(std::span<io_event> into) noexcept {
    timespec no_wait{};
    const int taken = ::io_getevents(id, 0, static_cast<long>(into.size()), into.data(), &no_wait);
    return taken > 0 ? static_cast<size_t>(taken) : 0;
  }

  io_context_t id = nullptr;
  Ring* ring = nullptr;
  std::vector<iocb> blocks;
};

AioEngine::AioEngine(EventLoop& loop, WorkerPool& pool, unsigned depth)
    : loop_(loop),
      calls_(loop, pool),
      depth_(depth),
      context_(std::make_unique<Context>(depth)),
      event_(make_eventfd()) {
  free_.reserve(depth);
  batch_.reserve(kBatch);
  for (iocb& block : context_->blocks) free_.push_back(&block);
  // Edge-triggered: each completion counts the descriptor up and wakes us anew, so that it never
  // has to be read.
  watch_ = loop_.watch(event_.get(), EPOLLIN | EPOLLET, [this](uint32_t) {
    reap();
    resume_finished();
  });
  hook_ = loop_.each_turn([this] { turn(); });
}

AioEngine::~AioEngine() {
  VMM_CHECK(queue_.empty() && finished_.empty() && in_flight_ + calls_.in_flight() == 0,
            "an engine is idle before it is destroyed");
}

// What a fast device has finished by the time it was submitted is taken along at once.
void AioEngine::turn() {
  submit_queued();
  reap();
  resume_finished();
}

void AioEngine::submit_queued() {
  while (!queue_.empty() && in_flight_ < depth_) {
    const long submitted = submit_batch();
    if (submitted == -EAGAIN) return retry_later();
    if (submitted < 0) refused(static_cast<int>(-submitted));
  }
}

// Fills batch_ with the first operations of the queue, which keeps them: no more than the kernel
// has already, so that a disk that was idle is at work from the first on.
size_t AioEngine::prepare_batch() {
  batch_.clear();
  const size_t room = std::min(std::clamp<size_t>(in_flight_, 1, kBatch), free_.size());
  for (IoOp* op = queue_.front(); op != nullptr && batch_.size() < room; op = op->next) {
    if (op->kind == IoOp::Kind::fdatasync && !fdatasync_works_) break;
    iocb* block = free_[free_.size() - 1 - batch_.size()];
    prepare(*block, *op, event_.get());
    batch_.push_back(block);
  }
  return batch_.size();
}

// The number of operations that went to the kernel, or -errno of the first.
long AioEngine::submit_batch() {
  if (prepare_batch() == 0) {
    calls_.submit(queue_.pop());
    return 0;
  }
  long submitted = 0;
  do {
    submitted = ::io_submit(context_->id, static_cast<long>(batch_.size()), batch_.data());
  } while (submitted == -EINTR);
  for (long i = 0; i < submitted; ++i) {
    queue_.pop();
    free_.pop_back();
    ++in_flight_;
  }
  return submitted;
}

void AioEngine::refused(int error) {
  IoOp& op = queue_.pop();
  if (op.kind == IoOp::Kind::fdatasync && (error == EINVAL || error == EOPNOTSUPP)) {
    fdatasync_works_ = false;
    calls_.submit(op);
    return;
  }
  op.result = -error;
  finished_.push(op);
}

// The kernel is short of something. A completion starts the next turn; without any to come, a timer
// does.
void AioEngine::retry_later() {
  if (in_flight_ > 0) return;
  retry_ = loop_.after(kRetryDelay, [] {});
}

void AioEngine::reap() {
  std::array<io_event, 64> events;
  size_t taken = 0;
  do {
    taken = context_->take(events);
    for (size_t i = 0; i < taken; ++i) {
      IoOp& op = op_of(*events[i].obj);
      op.result = static_cast<int64_t>(events[i].res);
      free_.push_back(events[i].obj);
      --in_flight_;
      finished_.push(op);
    }
  } while (taken == events.size());
}

// A resumed coroutine may queue the next operation, or let go of the engine.
void AioEngine::resume_finished() {
  if (!finished_.empty()) loop_.turn_again();
  IoQueue finished = std::exchange(finished_, IoQueue{});
  while (!finished.empty()) finished.pop().waiter.resume();
}

}  // namespace vireo::blk
