#include "vmm/control_queue.h"

#include <algorithm>
#include <utility>

namespace vireo {

void ControlQueue::post(Kind kind, Function run) {
  add({.kind = kind, .urgent = false, .run = std::move(run)});
}

void ControlQueue::post_urgent(Kind kind, Function run) {
  add({.kind = kind, .urgent = true, .run = std::move(run)});
}

void ControlQueue::post_last(Function run) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(ended_, true)) return;
  waiting_.clear();
  add_locked({.kind = Kind::end, .urgent = true, .run = std::move(run)});
}

void ControlQueue::add(Request request) {
  const std::lock_guard lock(mutex_);
  if (!ended_) add_locked(std::move(request));
}

// The guest is stopped under the lock: whoever lets it go on has either seen the request, or was
// faster and is undone here.
void ControlQueue::add_locked(Request request) {
  const bool urgent = request.urgent;
  const auto same = std::find_if(waiting_.begin(), waiting_.end(),
                                 [&](const Request& other) { return other.kind == request.kind; });
  if (same == waiting_.end())
    waiting_.push_back(std::move(request));
  else
    std::rotate(same, std::next(same), waiting_.end());
  if (urgent) stop_guest_();
  posted_.notify_all();
}

bool ControlQueue::withdraw(Kind kind) {
  const std::lock_guard lock(mutex_);
  return std::erase_if(waiting_, [kind](const Request& other) { return other.kind == kind; }) > 0;
}

bool ControlQueue::has_ended() const {
  const std::lock_guard lock(mutex_);
  return ended_;
}

void ControlQueue::unless_urgent(const Function& run) const {
  const std::lock_guard lock(mutex_);
  const auto is_urgent = [](const Request& request) { return request.urgent; };
  if (std::none_of(waiting_.begin(), waiting_.end(), is_urgent)) run();
}

ControlQueue::Function ControlQueue::take(Deadline deadline) {
  std::unique_lock lock(mutex_);
  const auto has_some = [this] { return !waiting_.empty(); };
  if (!deadline)
    posted_.wait(lock, has_some);
  else if (!posted_.wait_until(lock, *deadline, has_some))
    return nullptr;
  Function next = std::move(waiting_.front().run);
  waiting_.erase(waiting_.begin());
  return next;
}

}  // namespace vireo
