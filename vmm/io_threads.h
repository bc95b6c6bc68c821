// The I/O threads of a machine: event loops, each of which runs on a thread of its own between
// start() and end().
//
// Thread: control. Until start() and after end() the loops are idle: what is to be done on one is
// done here, by stepping it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "vmm/base/event_loop.h"
#include "vmm/base/task.h"

namespace vireo {

class IoThreads {
 public:
  IoThreads() { add(); }

  EventLoop& first() noexcept { return threads_.front()->loop; }
  EventLoop& add();  // before start()

  // `failed` is told, on its loop's thread, of what leaves a callback.
  void start(const std::function<void(const std::string& what)>& failed);
  // The loops finish what was posted and end; idempotent.
  void end() noexcept;

  // Calls step(loop) for each, in the order of their creation.
  template <class Step>
  void for_each(Step step) const {
    for (const auto& thread : threads_) step(thread->loop);
  }
  // On the loop, whoever runs it; waits until it is done.
  template <class Function>
  void run(EventLoop& loop, Function function) const {
    if (running_)
      call(loop, std::move(function));
    else
      function();
  }
  void finish(EventLoop& loop, Task<void> task) const {
    if (running_)
      call(loop, std::move(task));
    else
      block_on(loop, std::move(task));
  }

 private:
  struct IoThread {
    EventLoop loop;
    std::thread thread;
  };

  std::vector<std::unique_ptr<IoThread>> threads_;
  bool running_ = false;
};

}  // namespace vireo
