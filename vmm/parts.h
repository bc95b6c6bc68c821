// The devices of a machine, or its services: each at home on one of its loops, where it is started,
// stopped and closed.
//
//   Parts<Device> devices(io);
//   devices.add(std::move(uart), io.first());
//
// Thread: control. Owns the parts; the loops outlive it. Within a loop the order is that of add().
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "vmm/base/event_loop.h"
#include "vmm/base/task.h"
#include "vmm/io_threads.h"

namespace vireo {

template <class Part>
class Parts {
 public:
  explicit Parts(const IoThreads& io) : io_(io) {}

  void add(std::unique_ptr<Part> part, EventLoop& home) {
    parts_.push_back({std::move(part), &home});
  }
  // Calls visit(part) for each, on its loop.
  template <class Visit>
  void for_each(Visit visit) const {
    io_.for_each([&](EventLoop& loop) {
      io_.run(loop, [&] {
        for (Part* part : at_home(loop)) visit(*part);
      });
    });
  }
  // Here, for what does not change in a part's life.
  template <class Is>
  bool any_of(Is is) const {
    return std::any_of(parts_.begin(), parts_.end(),
                       [&](const Placed& placed) { return is(std::as_const(*placed.part)); });
  }

  void start() {
    for_each([](Part& part) { part.start(); });
  }
  void stop() {
    io_.for_each([this](EventLoop& loop) { io_.finish(loop, stop_all(at_home(loop))); });
  }
  // Also after a start that failed half-way: stopping what never started does nothing.
  void close() {
    io_.for_each([this](EventLoop& loop) { io_.finish(loop, close_all(at_home(loop))); });
  }

 private:
  struct Placed {
    std::unique_ptr<Part> part;
    EventLoop* home;
  };

  std::vector<Part*> at_home(const EventLoop& loop) const {
    std::vector<Part*> found;
    for (const Placed& placed : parts_)
      if (placed.home == &loop) found.push_back(placed.part.get());
    return found;
  }
  static Task<void> stop_all(std::vector<Part*> parts) {
    for (Part* part : parts) co_await part->stop();
  }
  static Task<void> close_all(std::vector<Part*> parts) {
    for (Part* part : parts) co_await part->stop();
    for (Part* part : parts) co_await part->close();
  }

  const IoThreads& io_;
  std::vector<Placed> parts_;
};

}  // namespace vireo
