#include "vmm/base/event_loop.h"

#include <pthread.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <utility>

#include "vmm/base/error.h"
#include "vmm/base/mutex.h"

namespace vireo {

namespace {

// Until a watch is tried again that the host had no room for.
constexpr std::chrono::milliseconds kWatchRetry{100};

}  // namespace

EventLoop::EventLoop(std::function<Clock::time_point()> now)
    : now_(std::move(now)), epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(make_eventfd()) {
  if (!epoll_) throw_errno("cannot create an epoll descriptor");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // nullptr stands for the wake-up descriptor
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0)
    throw_errno("cannot watch the loop's wake-up descriptor");
}

EventLoop::~EventLoop() {
  // What never ran may own registrations, which still need the other members to end.
  static_cast<void>(std::exchange(posted_, {}));
  static_cast<void>(std::exchange(timers_, {}));
  end_mutex(turn_);
  end_mutex(posted_mutex_);
}

void EventLoop::on_failure(std::function<void(const std::string& what)> listener) {
  check_current();
  on_failure_ = std::move(listener);
}

void EventLoop::fail(const std::exception_ptr& why) const noexcept {
  try {
    std::rethrow_exception(why);
  } catch (const std::exception& error) {
    if (!on_failure_) std::terminate();  // which says what it was
    on_failure_(describe(error));
  }
}

// The others of the turn have theirs all the same.
template <class Callback, class... Arguments>
void EventLoop::run_callback(const Callback& callback, Arguments... arguments) try {
  callback(arguments...);
} catch (const std::exception& error) {
  if (on_failure_) return on_failure_(describe(error));
  stepping_ = false;  // the turn ends here
  throw;
}

void EventLoop::run() noexcept {
  VMM_CHECK(is_idle() || runs_on_this_thread(), "one thread runs a loop");
  const std::lock_guard turn(turn_);
  thread_ = std::this_thread::get_id();
  running_ = true;
  while (!stopping_) step(std::chrono::hours(1));
  run_posted();
  running_ = false;
  thread_ = std::thread::id();
}

void EventLoop::stop() noexcept {
  stopping_ = true;
  signal_eventfd(wake_.get());
}

bool EventLoop::runs_on_this_thread() const noexcept {
  return thread_.load() == std::this_thread::get_id();
}

bool EventLoop::is_idle() const noexcept {
  return thread_.load() == std::thread::id();
}

void EventLoop::post(Function function) {
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(function));
  }
  if (!wake_pending_.exchange(true)) signal_eventfd(wake_.get());
}

// What it posts is told to the thread in run() only when the loop is that thread's again: woken
// sooner, it would wait for this one.
bool EventLoop::borrow(const Function& function) {
  std::unique_lock turn(turn_, std::try_to_lock);
  if (!turn || !running_) return false;
  const bool told = wake_pending_.exchange(true);
  const std::thread::id home = thread_.exchange(std::this_thread::get_id());
  borrowed_ = true;
  run_callback(function);
  borrowed_ = false;
  thread_ = home;
  turn.unlock();
  if (!told) wake_for_posted();
  return true;
}

void EventLoop::wake_for_posted() {
  {
    const std::lock_guard lock(posted_mutex_);
    if (posted_.empty()) {
      wake_pending_ = false;
      return;
    }
  }
  signal_eventfd(wake_.get());
}

bool EventLoop::step(std::chrono::milliseconds wait) {
  VMM_CHECK(!stepping_, "a loop is not stepped from its own callbacks");
  stepping_ = true;
  turn_again_ = false;
  run_hooks();
  bool ran = run_ready(turn_again_ ? std::chrono::nanoseconds(0) : wait_time(wait));
  ran |= run_posted();
  ran |= run_timers();
  stepping_ = false;
  return ran || turn_again_;
}

bool EventLoop::run_posted() {
  std::vector<Function> functions;
  {
    const std::lock_guard lock(posted_mutex_);
    functions.swap(posted_);
    wake_pending_ = false;
  }
  for (const Function& function : functions) run_callback(function);
  return !functions.empty();
}

bool EventLoop::run_timers() {
  // A timer that one of these arms is at the earliest due in the next turn.
  const TimerKey end{now_(), timers_armed_};
  bool ran = false;
  while (!timers_.empty() && timers_.begin()->first < end) {
    const auto timer = timers_.extract(timers_.begin());
    run_callback(timer.mapped());
    ran = true;
  }
  return ran;
}

void EventLoop::run_hooks() {
  const std::vector<std::shared_ptr<Hook>> hooks(hooks_.begin(), hooks_.end());
  for (const auto& hook : hooks)
    if (!hook->cancelled) run_callback(hook->run);
}

std::chrono::nanoseconds EventLoop::wait_time(std::chrono::milliseconds limit) const {
  constexpr std::chrono::milliseconds kLongest{std::numeric_limits<int>::max()};
  std::chrono::nanoseconds wait = std::min(limit, kLongest);
  if (!timers_.empty()) wait = std::min(wait, timers_.begin()->first.first - now_());
  return std::max(wait, std::chrono::nanoseconds(0));
}

// Kernels before 5.11, and some sandboxes, know no times below a millisecond.
int EventLoop::wait_for_events(std::span<epoll_event> events, std::chrono::nanoseconds limit) {
  const auto count = static_cast<int>(events.size());
  if (precise_) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(limit);
    const timespec time{.tv_sec = seconds.count(), .tv_nsec = (limit - seconds).count()};
    const int n = ::epoll_pwait2(epoll_.get(), events.data(), count, &time, nullptr);
    if (n >= 0 || errno == EINTR) return n;
    precise_ = false;
  }
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(limit);
  return ::epoll_wait(epoll_.get(), events.data(), count, static_cast<int>(milliseconds.count()));
}

// A thread in run() leaves the loop to borrowers meanwhile.
int EventLoop::lend_and_wait(std::span<epoll_event> events, std::chrono::nanoseconds limit) {
  const bool lend = running_;
  if (lend) turn_.unlock();
  const int n = wait_for_events(events, limit);
  const int error = errno;
  if (lend) turn_.lock();
  errno = error;
  return n;
}

bool EventLoop::run_ready(std::chrono::nanoseconds limit) {
  std::array<epoll_event, 64> events;
  const int n = lend_and_wait(events, limit);
  VMM_CHECK(n >= 0 || errno == EINTR, "epoll_wait on our own descriptor works");
  bool ran = false;
  for (int i = 0; i < n; ++i) {
    auto* watch = static_cast<Watch*>(events[static_cast<size_t>(i)].data.ptr);
    if (watch == nullptr) {
      drain_eventfd(wake_.get());
    } else if (!watch->cancelled) {
      run_callback(watch->ready, events[static_cast<size_t>(i)].events);
      ran = true;
    }
  }
  static_cast<void>(std::exchange(cancelled_, {}));  // what these held may cancel further ones
  return ran;
}

EventLoop::Registration EventLoop::watch(int fd, uint32_t epoll_events, FdFunction ready) {
  check_current();
  auto watch = std::make_shared<Watch>(Watch{fd, epoll_events, std::move(ready)});
  if (const int error = arm(*watch); error != 0) {
    const bool no_room = error == ENOSPC || error == ENOMEM;
    if (is_idle() || !no_room) throw_errno("cannot watch a descriptor", error);
    arm_later(watch);
  }
  return Registration([this, watch] {
    check_current();
    watch->cancelled = true;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watch->fd, nullptr);
    cancelled_.push_back(watch);
  });
}

// errno, or 0.
int EventLoop::arm(const Watch& watch) const noexcept {
  epoll_event event{};
  event.events = watch.events;
  event.data.ptr = const_cast<Watch*>(&watch);
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, watch.fd, &event) == 0 ? 0 : errno;
}

void EventLoop::arm_later(const std::shared_ptr<Watch>& watch) {
  timers_.emplace(TimerKey{now_() + kWatchRetry, timers_armed_++}, [this, watch] {
    if (!watch->cancelled && arm(*watch) != 0) arm_later(watch);
  });
}

EventLoop::Registration EventLoop::after(std::chrono::nanoseconds delay, Function expired) {
  check_current();
  const auto now = now_();
  const std::chrono::nanoseconds longest = Clock::time_point::max() - now;
  const TimerKey key{now + std::clamp(delay, std::chrono::nanoseconds(0), longest),
                     timers_armed_++};
  timers_.emplace(key, std::move(expired));
  return Registration([this, key] {
    check_current();
    timers_.extract(key);  // destroys the function when the map is whole again
  });
}

EventLoop::Registration EventLoop::each_turn(Function run) {
  check_current();
  auto hook = std::make_shared<Hook>(Hook{std::move(run)});
  const auto position = hooks_.insert(hooks_.end(), hook);
  return Registration([this, hook, position] {
    check_current();
    hook->cancelled = true;
    hooks_.erase(position);
  });
}

LoopThread::LoopThread(const std::string& name) : thread_([this] { loop_.run(); }) {
  // The loop is the thread's from now on, also while that is still on its way into run().
  loop_.thread_ = thread_.get_id();
  ::pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
}

LoopThread::~LoopThread() {
  loop_.stop();
  thread_.join();
}

}  // namespace vireo
