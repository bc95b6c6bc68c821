// Guest clusters whose mapping somebody is changing: allocating writes, zeroing and discards claim
// the clusters first; others who want to change the same clusters wait. Reads and overwrites in
// place need no claim.
//
// Thread: the node's loop.
#pragma once

#include <cstdint>
#include <list>

#include "vmm/base/async_sync.h"

namespace vireo::blk::qcow2 {

class Claims {
  struct Held {
    uint64_t first, count;
    WaitList waiting;
  };

 public:
  class Claim {
   public:
    Claim(Claims& claims, uint64_t first, uint64_t count)
        : claims_(claims),
          entry_(claims.held_.insert(claims.held_.end(), Held{first, count, {}})) {}
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;
    ~Claim() {
      WaitList waiting = std::move(entry_->waiting);
      claims_.held_.erase(entry_);
      waiting.resume_all();
    }

   private:
    Claims& claims_;
    std::list<Held>::iterator entry_;
  };

  // How many of the clusters nobody holds, counted from the first.
  uint64_t free_from(uint64_t first, uint64_t count) const noexcept {
    for (const Held& held : held_) {
      if (held.first < first + count && first < held.first + held.count)
        count = held.first > first ? held.first - first : 0;
    }
    return count;
  }
  // Resumes when the holder of a cluster lets go: co_await claims.released(cluster), then look
  // again.
  auto released(uint64_t cluster) noexcept {
    struct Awaiter {
      Claims& claims;
      uint64_t cluster;
      WaitList::Waiter waiter{};
      bool await_ready() const noexcept { return claims.free_from(cluster, 1) > 0; }
      void await_suspend(std::coroutine_handle<> handle) noexcept {
        claims.holder(cluster)->waiting.park(waiter, handle);
      }
      void await_resume() const noexcept {}
    };
    return Awaiter{*this, cluster};
  }

 private:
  Held* holder(uint64_t cluster) noexcept {
    for (Held& held : held_)
      if (held.first <= cluster && cluster < held.first + held.count) return &held;
    return nullptr;
  }
  std::list<Held> held_;
};

}  // namespace vireo::blk::qcow2
