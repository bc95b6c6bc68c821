// Orders requests that touch the same bytes: read-modify-write (exclusive) against everything else
// that changes its blocks (shared). First come, first served: a waiter is overtaken by nobody whose
// range meets its own.
//
// Thread: one loop. A Hold lives in the awaiting coroutine's frame, is released by its destructor
// and must not outlive the lock. Without an exclusive hold anywhere, taking and releasing is O(1).
//
//   RangeLock::Hold hold{lock, begin, end, RangeLock::Mode::exclusive};
//   co_await hold.acquire();
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>

namespace vireo::blk {

class RangeLock {
 public:
  enum class Mode : uint8_t { shared, exclusive };
  class Hold;

  RangeLock() = default;
  RangeLock(const RangeLock&) = delete;
  RangeLock& operator=(const RangeLock&) = delete;
  ~RangeLock();

 private:
  bool must_wait(const Hold& hold) const noexcept;
  void append(Hold& hold) noexcept;
  void remove(Hold& hold) noexcept;
  void grant();
  Hold* grantable() const noexcept;

  Hold* first_ = nullptr;  // in order of arrival, granted or not
  Hold* last_ = nullptr;
  size_t exclusive_ = 0;   // holds of that mode in the list
  size_t waiting_ = 0;     // holds not granted yet
  bool granting_ = false;  // a grant() is under way further up the stack
};

class RangeLock::Hold {
 public:
  // [begin, end) in bytes.
  Hold(RangeLock& lock, uint64_t begin, uint64_t end, Mode mode) noexcept
      : lock_(lock), begin_(begin), end_(end), mode_(mode) {}
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  ~Hold() { release(); }

  auto acquire() noexcept {
    struct Awaiter {
      Hold& hold;
      bool await_ready() const noexcept { return hold.enter(); }
      void await_suspend(std::coroutine_handle<> handle) const noexcept { hold.waiter_ = handle; }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this};
  }
  void release();

 private:
  friend RangeLock;
  bool enter() noexcept;
  bool conflicts(const Hold& other) const noexcept {
    const bool overlap = begin_ < other.end_ && other.begin_ < end_;
    return overlap && (mode_ == Mode::exclusive || other.mode_ == Mode::exclusive);
  }

  RangeLock& lock_;
  const uint64_t begin_;
  const uint64_t end_;
  const Mode mode_;
  bool listed_ = false;
  bool granted_ = false;
  std::coroutine_handle<> waiter_{};
  Hold* previous_ = nullptr;
  Hold* next_ = nullptr;
};

}  // namespace vireo::blk
