// Who is inside a node: requests enter and leave, an operation on the whole image (snapshot,
// resize, close) shuts the gate and waits until all are out. Requests also belong to epochs: a host
// cluster that left the mapping in one epoch may be used again when no request of that epoch or an
// older one is left, because only such a request can still hold the old mapping.
//
// Thread: the node's loop.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>

#include "vmm/base/async_sync.h"
#include "vmm/base/task.h"

namespace vireo::blk::qcow2 {

class Traffic {
 public:
  // One request, from entry to leaving.
  class Pass {
   public:
    explicit Pass(Traffic& traffic) noexcept : traffic_(traffic), epoch_(traffic.begin()) {}
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    ~Pass() {
      leave_epoch();
      traffic_.end();
    }
    // Stays inside, but holds no mapping any more.
    void leave_epoch() noexcept {
      if (std::exchange(in_epoch_, false)) traffic_.end_in_epoch(epoch_);
    }

   private:
    Traffic& traffic_;
    uint64_t epoch_;
    bool in_epoch_ = true;
  };

  // while (!traffic.open()) co_await traffic.opened(); then make the Pass, without suspension.
  bool open() const noexcept { return !shut_; }
  auto opened() noexcept { return reopened_.wait(); }

  // For the one who has the whole image for himself; one at a time (hold a mutex).
  Task<void> shut() {
    shut_ = true;
    reopened_.reset();
    while (active_ > 0) {
      empty_.reset();
      co_await empty_.wait();
    }
  }
  void reopen() {
    shut_ = false;
    reopened_.set();
  }

  // Ends the epoch and gives its number.
  uint64_t next_epoch() {
    counts_.push_back(0);
    return first_ + counts_.size() - 2;
  }
  // No request of an epoch before this one is left.
  uint64_t oldest_active() noexcept {
    while (counts_.size() > 1 && counts_.front() == 0) {
      counts_.pop_front();
      ++first_;
    }
    return first_;
  }

 private:
  uint64_t begin() noexcept {
    ++active_;
    ++counts_.back();
    return first_ + counts_.size() - 1;
  }
  void end_in_epoch(uint64_t epoch) noexcept { --counts_[epoch - first_]; }
  void end() {
    if (--active_ == 0 && shut_) empty_.set();
  }

  bool shut_ = false;
  size_t active_ = 0;
  uint64_t first_ = 0;               // the epoch of counts_.front()
  std::deque<size_t> counts_ = {0};  // requests in each epoch; the last one is current
  Event empty_;
  Event reopened_;
};

}  // namespace vireo::blk::qcow2
