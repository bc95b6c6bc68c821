#include "vmm/base/worker_pool.h"

#include <exception>
#include <utility>

namespace vireo {

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ready_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::submit(std::function<void()> work) {
  std::unique_lock lock(mutex_);
  // A worker that submits while the destructor joins serves that itself.
  if (queue_.size() >= idle_ && threads_.size() < limit_ && !stopping_) start_thread();
  if (threads_.empty()) {
    lock.unlock();
    return work();
  }
  queue_.push_back(std::move(work));
  lock.unlock();
  ready_.notify_one();
}

void WorkerPool::start_thread() {
  try {
    threads_.emplace_back([this] { serve(); });
  } catch (const std::exception&) {
    return;  // there are fewer than there could be, which is only slower
  }
}

void WorkerPool::serve() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    ready_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    --idle_;
    if (queue_.empty()) return;
    const std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    lock.lock();
  }
}

}  // namespace vireo
