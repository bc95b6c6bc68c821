#include "vmm/io_threads.h"

#include <pthread.h>

#include <utility>

#include <fmt/core.h>

namespace vireo {

EventLoop& IoThreads::add() {
  return threads_.emplace_back(std::make_unique<IoThread>())->loop;
}

void IoThreads::start(const std::function<void(const std::string& what)>& failed) {
  running_ = true;
  for (size_t i = 0; i < threads_.size(); ++i) {
    EventLoop& loop = threads_[i]->loop;
    loop.on_failure(failed);
    threads_[i]->thread = std::thread([&loop, i] {
      ::pthread_setname_np(::pthread_self(), fmt::format("io-{}", i).c_str());
      loop.run();
    });
  }
}

void IoThreads::end() noexcept {
  if (!std::exchange(running_, false)) return;
  for (const auto& io : threads_) io->loop.stop();
  for (const auto& io : threads_)
    if (io->thread.joinable()) io->thread.join();
}

}  // namespace vireo
