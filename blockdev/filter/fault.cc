#include "blockdev/filter/fault.h"

#include <algorithm>
#include <utility>

namespace vireo::blk {

namespace {

using Operation = FaultRule::Operation;

bool matches(const FaultRule& rule, Operation operation, uint64_t offset,
             uint64_t length) noexcept {
  if (rule.hits == 0 || rule.new_state != 0) return false;
  if (rule.operation != Operation::any && rule.operation != operation) return false;
  if (operation == Operation::flush) return true;
  const bool starts_before_end = offset < rule.offset || offset - rule.offset < rule.length;
  return starts_before_end && offset + length > rule.offset;
}

}  // namespace

FaultNode::FaultNode(EventLoop& loop, std::unique_ptr<Node> below, std::vector<FaultRule> rules,
                     FaultLimits kept)
    : loop_(loop), below_(std::move(below)), kept_(kept) {
  for (const FaultRule& rule : rules) add(rule);
}

const Limits& FaultNode::limits() const noexcept {
  limits_ = below_->limits();
  limits_.block = std::max(limits_.block, kept_.block);
  return limits_;
}

// Rules of one event see the state that it found.
void FaultNode::wake(DebugEvent event) noexcept {
  const uint32_t state = state_;
  for (Rule& rule : rules_) {
    if (rule.event != event || (rule.state != 0 && rule.state != state)) continue;
    if (rule.new_state != 0)
      state_ = rule.new_state;
    else
      rule.awake = true;
  }
}

Task<void> FaultNode::at(DebugEvent event) {
  wake(event);
  const auto stop = std::find_if(stops_.begin(), stops_.end(), [event](const Stop& one) {
    return one.event == event && !one.reached;
  });
  if (stop == stops_.end()) co_return;
  stop->reached = true;
  if (stop->tell) stop->tell();
  co_await stop->resumed.wait();
  stops_.erase(stop);
}

void FaultNode::stop_at(DebugEvent event, std::string tag, std::function<void()> reached) {
  stops_.push_back({event, std::move(tag), std::move(reached)});
}

bool FaultNode::is_stopped(const std::string& tag) const {
  return std::any_of(stops_.begin(), stops_.end(),
                     [&tag](const Stop& stop) { return stop.holds(tag); });
}

void FaultNode::go_on(const std::string& tag) {
  const auto stop = std::find_if(stops_.begin(), stops_.end(),
                                 [&tag](const Stop& one) { return one.holds(tag); });
  if (stop != stops_.end()) stop->resumed.set();
}

void FaultNode::go_on() {
  std::erase_if(stops_, [](const Stop& stop) { return !stop.reached; });
  while (!stops_.empty()) stops_.front().resumed.set();
}

FaultNode::Rule* FaultNode::matching(Operation operation, uint64_t offset,
                                     uint64_t length) noexcept {
  for (Rule& rule : rules_) {
    if (!rule.awake || !matches(rule, operation, offset, length)) continue;
    if (rule.skip == 0) return &rule;
    --rule.skip;
  }
  return nullptr;
}

Task<FaultNode::Fate> FaultNode::fate(Operation operation, uint64_t offset, uint64_t length) {
  Rule* rule = matching(operation, offset, length);
  if (rule == nullptr) co_return Fate{};
  if (rule->hits != FaultRule::kUnlimited) --rule->hits;
  const FaultRule hit = *rule;  // the rules may change during the delay
  if (hit.error) ++faults_;
  if (hit.delay.count() > 0) co_await loop_.sleep(hit.delay);
  co_return Fate{hit.error, hit.torn};
}

Task<std::error_code> FaultNode::read(uint64_t offset, IoVecs into) {
  const Fate decided = co_await fate(Operation::read, offset, total_length(into));
  if (decided.error) co_return decided.error;
  const std::error_code error = co_await below_->read(offset, std::move(into));
  co_return error;
}

Task<std::error_code> FaultNode::write(uint64_t offset, IoVecs from, WriteFlags flags) {
  const uint64_t length = total_length(from);
  co_await at(DebugEvent::pwritev);
  const Fate decided = co_await fate(Operation::write, offset, length);
  if (decided.error) {
    const uint64_t half = length / 2 & ~uint64_t{limits().block - 1};
    if (!decided.torn || half == 0) co_return decided.error;
    IoVecs first = slice(from, 0, half);
    const std::error_code ignored = co_await below_->write(offset, std::move(first), flags);
    co_return ignored ? ignored : decided.error;
  }
  const std::error_code error = co_await below_->write(offset, std::move(from), flags);
  co_await at(DebugEvent::pwritev_done);
  co_return error;
}

Task<std::error_code> FaultNode::flush() {
  co_await at(DebugEvent::flush_to_os);
  co_await at(DebugEvent::flush_to_disk);
  const Fate decided = co_await fate(Operation::flush, 0, 0);
  if (decided.error) co_return decided.error;
  const std::error_code error = co_await below_->flush();
  co_return error;
}

Task<std::error_code> FaultNode::discard(uint64_t offset, uint64_t length) {
  const Fate decided = co_await fate(Operation::discard, offset, length);
  if (decided.error) co_return decided.error;
  const std::error_code error = co_await below_->discard(offset, length);
  co_return error;
}

// Up to the next unit, or as many units as go at once, or what is left.
uint64_t FaultNode::zero_piece(uint64_t offset, uint64_t length) const noexcept {
  const uint64_t unit = std::max<uint64_t>(kept_.zero_unit, 1);
  if (offset % unit != 0) return std::min(length, unit - offset % unit);
  if (length >= unit) length -= length % unit;
  if (kept_.zero_length < unit) return kept_.zero_length == 0 ? length : std::min(length, unit);
  return std::min(length, kept_.zero_length - kept_.zero_length % unit);
}

Task<std::error_code> FaultNode::zero(uint64_t offset, uint64_t length, ZeroFlags flags) {
  co_await at(DebugEvent::pwritev_zero);
  const Fate decided = co_await fate(Operation::zero, offset, length);
  std::error_code error = decided.error;
  while (length > 0 && !error) {
    const uint64_t piece = zero_piece(offset, length);
    if (piece < kept_.zero_unit)
      error = co_await Node::zero(offset, piece, flags);  // written
    else
      error = co_await below_->zero(offset, piece, flags);
    offset += piece;
    length -= piece;
  }
  co_return error;
}

Task<std::error_code> FaultNode::resize(uint64_t size) {
  const Fate decided = co_await fate(Operation::resize, 0, size);
  if (decided.error) co_return decided.error;
  const std::error_code error = co_await below_->resize(size);
  co_return error;
}

Task<Extent> FaultNode::extent(uint64_t offset, uint64_t length) {
  return below_->extent(offset, length);
}

}  // namespace vireo::blk
