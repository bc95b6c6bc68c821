// What every image command runs in: a loop that is stepped by the calling thread, workers, a log,
// and the signals that ask a job to end.
//
// Thread: the main one. One object per process; images are closed before it goes.
#pragma once

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "blockdev/host.h"
#include "tools/vireo/image/qemu_words.h"
#include "tools/vireo/signals.h"
#include "vmm/base/event_loop.h"
#include "vmm/base/worker_pool.h"

namespace vireo::cli {

// A signal asked the job to end: leads to kStopped.
class Interrupted : public std::runtime_error {
 public:
  Interrupted() : std::runtime_error("interrupted") {}
};

class Session {
 public:
  Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  EventLoop& loop() noexcept { return loop_; }
  blk::Host host() { return {loop_, pool_, log_}; }

  // Steps the loop until the task is done. Its exceptions come back.
  template <class T>
  T run(Task<T> task) {
    const FlushAtEnd flush{findings_};
    return block_on(loop_, std::move(task));
  }

  // The same for a task that is told of interruptions, whose error about that becomes Interrupted.
  void run_job(Task<void> task);

  // SIGINT, SIGTERM or SIGHUP came: long jobs look between their steps, and stop. Known only after
  // a turn of the loop. A second signal ends the process at once, as a crash would.
  bool interrupted() const noexcept { return interrupted_; }
  // Called then, on the loop, to let go what a job would wait for.
  void on_interrupt(std::function<void()> hurry) { hurry_ = std::move(hurry); }
  void stop_if_interrupted() const {
    if (interrupted_) throw Interrupted();
  }

 private:
  struct FlushAtEnd {
    QemuFindings& findings;
    ~FlushAtEnd() { findings.flush(); }
  };
  void interrupt();

  QemuFindings findings_;
  Signals signals_;
  dev::Terminal terminal_{-1};
  EventLoop loop_;
  WorkerPool pool_{std::max<size_t>(
      WorkerPool::kThreads, std::thread::hardware_concurrency())};  // compressing is for all
  Logger log_;
  Signals::Watch watch_;
  bool interrupted_ = false;
  std::function<void()> hurry_;
};

}  // namespace vireo::cli
