#include "blockdev/range_lock.h"

#include "vmm/base/error.h"

namespace vireo::blk {

RangeLock::~RangeLock() {
  VMM_CHECK(first_ == nullptr, "a range lock outlives its holds");
}

bool RangeLock::must_wait(const Hold& hold) const noexcept {
  if (exclusive_ == 0) return false;
  for (const Hold* other = first_; other != nullptr && other != &hold; other = other->next_)
    if (hold.conflicts(*other)) return true;
  return false;
}

void RangeLock::append(Hold& hold) noexcept {
  hold.previous_ = last_;
  (last_ == nullptr ? first_ : last_->next_) = &hold;
  last_ = &hold;
  if (hold.mode_ == Mode::exclusive) ++exclusive_;
}

void RangeLock::remove(Hold& hold) noexcept {
  (hold.previous_ == nullptr ? first_ : hold.previous_->next_) = hold.next_;
  (hold.next_ == nullptr ? last_ : hold.next_->previous_) = hold.previous_;
  if (hold.mode_ == Mode::exclusive) --exclusive_;
}

RangeLock::Hold* RangeLock::grantable() const noexcept {
  for (Hold* hold = first_; hold != nullptr; hold = hold->next_)
    if (!hold->granted_ && !must_wait(*hold)) return hold;
  return nullptr;
}

// Not recursive: a resumed waiter that releases at once leaves the next one to the loop above it.
void RangeLock::grant() {
  if (granting_) return;
  granting_ = true;
  while (Hold* hold = waiting_ > 0 ? grantable() : nullptr) {
    hold->granted_ = true;
    --waiting_;
    hold->waiter_.resume();
  }
  granting_ = false;
}

bool RangeLock::Hold::enter() noexcept {
  lock_.append(*this);
  listed_ = true;
  granted_ = !lock_.must_wait(*this);
  if (!granted_) ++lock_.waiting_;
  return granted_;
}

void RangeLock::Hold::release() {
  if (!listed_) return;
  listed_ = false;
  lock_.remove(*this);
  if (lock_.waiting_ > 0) lock_.grant();
}

}  // namespace vireo::blk
