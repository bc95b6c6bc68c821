// How fast passwords can be tried, whoever tries them over however many connections.
//
// Answers to the challenge are judged one at a time. After a wrong one its origin (Peer::origin)
// waits for its next, longer with each that is wrong in a row: 1, 2, then 4 seconds. The server as
// a whole waits, too, an eighth of a second to a whole one: for those who try from many addresses.
// That does not hold for an origin that the right password came from before. Of the answers that
// may be judged those of the origin with the fewest failures go first, and of these the newest. So
// who tries passwords from one other address costs the owner a second at most, and a heap of
// answers from the owner's own address does not have to be worked off first. Someone with many
// addresses can keep out a viewer that has not given the password before.
//
// Thread: the loop's. Memory: some hundred origins; those that were silent for long are forgotten.
#pragma once

#include <chrono>
#include <list>
#include <map>
#include <string>

#include "vmm/base/async_sync.h"
#include "vmm/base/event_loop.h"

namespace vireo::display {

class LoginThrottle {
 public:
  using Clock = EventLoop::Clock;
  static constexpr size_t kMostOrigins = 256;

  explicit LoginThrottle(EventLoop& loop) : loop_(loop) {}
  LoginThrottle(const LoginThrottle&) = delete;
  LoginThrottle& operator=(const LoginThrottle&) = delete;

  // An answer that waits to be judged, as long as it exists. The throttle, and the event, which it
  // sets in a later turn of the loop, outlive it. Who has seen that judges at once.
  class Answer {
   public:
    Answer(LoginThrottle& throttle, const std::string& origin, Event& turn);
    Answer(const Answer&) = delete;
    Answer& operator=(const Answer&) = delete;
    ~Answer();

    void was_right();
    void was_wrong();

   private:
    LoginThrottle& throttle_;
    const std::string origin_;
    std::list<Answer*>::iterator place_;
    Event& turn_;
    bool had_turn_ = false;
    friend LoginThrottle;
  };

 private:
  struct Origin {
    unsigned failures = 0;  // in a row
    Clock::time_point next{};
    bool trusted = false;  // the right password came from there

    void fail(Clock::time_point now, std::chrono::milliseconds first,
              std::chrono::milliseconds longest);
  };
  Origin find(const std::string& name) const;
  Origin& remember(const std::string& name);
  void forget_one();
  Clock::time_point due(const Answer& answer) const;
  void schedule();
  void judged(const Answer& answer);
  void judge_next();

  EventLoop& loop_;
  std::map<std::string, Origin> origins_;
  Origin all_;                  // the server as a whole
  std::list<Answer*> waiting_;  // the newest last
  const Answer* judging_ = nullptr;
  EventLoop::Registration timer_;
};

}  // namespace vireo::display
