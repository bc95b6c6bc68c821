// A pool without threads: the work that a server gives away is held until the test has it done, in
// whatever order it likes. What a client sends meanwhile meets requests that are half way through.
//
// Thread: the test's, which also steps the loop.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "vmm/base/worker_pool.h"

namespace vireo::p9 {

class HandPool final : public WorkerPool {
 public:
  HandPool() : WorkerPool(1) {}

  void submit(std::function<void()> work) override { work_.push_back(std::move(work)); }
  size_t held() const noexcept { return work_.size(); }
  // The how-manieth in order of arrival; who waits for it goes on in a later turn of the loop.
  void run(size_t index) {
    const std::function<void()> work = std::move(work_.at(index));
    work_.erase(work_.begin() + static_cast<std::ptrdiff_t>(index));
    work();
  }

 private:
  std::vector<std::function<void()>> work_;
};

}  // namespace vireo::p9
