#include "devices/virtio/queue.h"

#include <sys/epoll.h>

#include <utility>

#include "vmm/base/error.h"
#include "vmm/base/fd.h"

namespace vireo::dev {

namespace {

// vring_need_event of virtio 1.2, 2.7.10: did the index pass `event` on its way from `before`?
bool passed(uint16_t event, uint16_t now, uint16_t before) noexcept {
  return static_cast<uint16_t>(now - event - 1) < static_cast<uint16_t>(now - before);
}

}  // namespace

std::unique_ptr<Queue> Queue::create(QueueEnv env, const QueueLayout& layout, uint64_t features,
                                     QueueState state) {
  const std::optional<SplitRing> ring = SplitRing::map(env.memory, layout);
  if (!ring) return nullptr;
  return std::unique_ptr<Queue>(new Queue(std::move(env), *ring, features, state));
}

Queue::Queue(QueueEnv env, const SplitRing& ring, uint64_t features, QueueState state)
    : env_(std::move(env)),
      ring_(ring),
      event_idx_((features & kFeatureEventIdx) != 0),
      indirect_((features & kFeatureIndirect) != 0),
      next_available_(state.next_available),
      known_available_(state.next_available),
      next_used_(state.next_used),
      notified_used_(state.next_used),
      budget_(ring.size()),
      in_flight_(ring.size()) {
  watch_kick();
}

// Edge-triggered: the counter needs no reading, and one that is not zero fires at once.
void Queue::watch_kick() {
  kick_watch_ =
      env_.loop.watch(env_.kick, EPOLLIN | EPOLLET, [this](uint32_t) { resume_waiter(); });
}

Queue::~Queue() {
  VMM_CHECK(in_flight_count_ == 0, "a queue outlives its chains");
  VMM_CHECK(!waiter_, "a queue outlives who waits for it");
}

Queue::Lent Queue::lend() {
  VMM_CHECK(in_flight_count_ == 0, "a queue is lent without requests under way");
  kick_watch_.reset();
  return {env_.memory, ring_, env_.kick, env_.interrupt, state()};
}

void Queue::take_back(QueueState state) {
  next_available_ = known_available_ = state.next_available;
  next_used_ = notified_used_ = state.next_used;
  watch_kick();
}

bool Queue::has_available() {
  if (next_available_ != known_available_) return true;
  known_available_ = ring_.available_index();
  const auto waiting = static_cast<uint16_t>(known_available_ - next_available_);
  if (waiting > ring_.size()) fail("the available index jumped");
  return waiting != 0 && !malformed_;
}

std::optional<Chain> Queue::pop() {
  env_.loop.check_current();
  if (stopping_ || malformed_ || budget_ == 0 || !has_available()) return std::nullopt;
  auto chain = take(ring_.available(next_available_));
  if (!chain) return std::nullopt;
  --budget_;
  ++next_available_;
  return chain;
}

std::optional<Chain> Queue::take(uint16_t head) {
  if (head >= ring_.size()) {
    fail("an available head is beyond the descriptor table");
    return std::nullopt;
  }
  if (in_flight_[head]) {
    fail("a head was made available again before it was used");
    return std::nullopt;
  }
  ParsedChain parsed = parse_chain(env_.memory, ring_, head, indirect_);
  if (parsed.error != nullptr) {
    fail(parsed.error);
    return std::nullopt;
  }
  in_flight_[head] = true;
  ++in_flight_count_;
  return std::optional<Chain>(std::in_place, *this, head, std::move(parsed.buffers));
}

// Its head stays marked: it is still not the driver's to use.
uint16_t Queue::keep(Chain chain) {
  env_.loop.check_current();
  const uint16_t head = chain.head_;
  forget(chain);
  in_flight_[head] = true;
  return head;
}

std::optional<Chain> Queue::take_again(uint16_t head) {
  env_.loop.check_current();
  if (stopping_ || malformed_) return std::nullopt;
  return take(head);
}

void Queue::push(Chain chain, uint32_t written) {
  put(std::move(chain), written);
  publish();
}

void Queue::put(Chain chain, uint32_t written) {
  env_.loop.check_current();
  VMM_CHECK(written <= chain.capacity_, "no more is written than fits");
  forget(chain);
  ring_.put_used(next_used_++, {chain.head_, written});
}

void Queue::put_back(Chain chain) {
  env_.loop.check_current();
  VMM_CHECK(in_flight_count_ > 0, "only a request that was taken can be put back");
  forget(chain);
  --next_available_;
}

void Queue::forget(Chain& chain) {
  VMM_CHECK(chain.queue_ == this, "a chain goes back to the queue it came from");
  chain.queue_ = nullptr;
  in_flight_[chain.head_] = false;
  --in_flight_count_;
}

void Queue::notify() {
  if (next_used_ == notified_used_) return;
  const uint16_t before = std::exchange(notified_used_, next_used_);
  const bool wanted =
      event_idx_ ? passed(ring_.used_event(), next_used_, before) : !ring_.wants_no_interrupt();
  if (wanted) env_.interrupt();
}

void Queue::fail(std::string_view why) {
  malformed_ = true;
  env_.malformed(why);
}

// True when there is no need to wait. Otherwise notifications are on, and the last look at the ring
// came after that, so a request that follows it makes a kick (2.7.10.1).
bool Queue::ready_or_armed() {
  VMM_CHECK(!waiter_, "a queue has one waiter");
  if (stopping_) return true;
  if (malformed_) return false;
  arm();
  if (!has_available()) return false;
  if (budget_ > 0) return true;
  signal_eventfd(env_.kick);  // goes on with the loop's next turn
  return false;
}

void Queue::arm() noexcept {
  if (event_idx_)
    ring_.set_available_event(next_available_);
  else
    ring_.set_no_notify(false);
}

void Queue::park(std::coroutine_handle<> waiter) {
  budget_ = ring_.size();
  waiter_ = waiter;
}

bool Queue::wake() {
  if (!event_idx_ && !stopping_ && !malformed_) ring_.set_no_notify(true);
  return !stopping_;
}

void Queue::resume_waiter() {
  if (waiter_) std::exchange(waiter_, nullptr).resume();
}

void Queue::stop() {
  stopping_ = true;
  resume_waiter();
}

}  // namespace vireo::dev
