#include "devices/display/rfb/login_throttle.h"

#include <algorithm>
#include <optional>
#include <tuple>

namespace vireo::display {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirst{1000}, kLongest{4000};  // of one origin
constexpr milliseconds kFirstOfAll{125}, kLongestOfAll{1000};
constexpr std::chrono::minutes kForgotten{10};

}  // namespace

void LoginThrottle::Origin::fail(Clock::time_point now, milliseconds first, milliseconds longest) {
  if (now - next > kForgotten) failures = 0;
  constexpr unsigned kMostDoublings = 10;
  next = now + std::min(first * (1 << std::min(failures, kMostDoublings)), longest);
  ++failures;
}

LoginThrottle::Answer::Answer(LoginThrottle& throttle, const std::string& origin, Event& turn)
    : throttle_(throttle),
      origin_(origin),
      place_(throttle.waiting_.insert(throttle.waiting_.end(), this)),
      turn_(turn) {
  throttle_.schedule();
}

LoginThrottle::Answer::~Answer() {
  throttle_.waiting_.erase(place_);
  throttle_.judged(*this);
}

void LoginThrottle::Answer::was_right() {
  throttle_.remember(origin_) = {.failures = 0, .next = throttle_.loop_.now(), .trusted = true};
  throttle_.judged(*this);
}

void LoginThrottle::Answer::was_wrong() {
  const Clock::time_point now = throttle_.loop_.now();
  throttle_.remember(origin_).fail(now, kFirst, kLongest);
  throttle_.all_.fail(now, kFirstOfAll, kLongestOfAll);
  throttle_.judged(*this);
}

void LoginThrottle::judged(const Answer& answer) {
  if (judging_ == &answer) judging_ = nullptr;
  schedule();
}

LoginThrottle::Origin LoginThrottle::find(const std::string& name) const {
  const auto found = origins_.find(name);
  return found == origins_.end() ? Origin() : found->second;
}

LoginThrottle::Origin& LoginThrottle::remember(const std::string& name) {
  if (origins_.size() >= kMostOrigins && !origins_.contains(name)) forget_one();
  return origins_[name];
}

// The one that was silent for longest; a trusted one only among its like.
void LoginThrottle::forget_one() {
  origins_.erase(std::ranges::min_element(origins_, {}, [](const auto& entry) {
    return std::tuple(entry.second.trusted, entry.second.next);
  }));
}

LoginThrottle::Clock::time_point LoginThrottle::due(const Answer& answer) const {
  const Origin origin = find(answer.origin_);
  return origin.trusted ? origin.next : std::max(origin.next, all_.next);
}

void LoginThrottle::schedule() {
  timer_.reset();
  if (judging_ != nullptr) return;  // its verdict decides
  std::optional<Clock::time_point> first;
  for (const Answer* answer : waiting_)
    if (!answer->had_turn_) first = std::min(first.value_or(due(*answer)), due(*answer));
  if (first) timer_ = loop_.after(*first - loop_.now(), [this] { judge_next(); });
}

void LoginThrottle::judge_next() {
  const Clock::time_point now = loop_.now();
  Answer* next = nullptr;
  unsigned least = 0;
  for (Answer* answer : waiting_) {
    if (answer->had_turn_ || due(*answer) > now) continue;
    const unsigned failures = find(answer->origin_).failures;
    if (next != nullptr && failures > least) continue;
    next = answer;
    least = failures;
  }
  if (next == nullptr) return schedule();
  next->had_turn_ = true;
  judging_ = next;
  next->turn_.set();  // the last: it is judged in here, and may be gone
}

}  // namespace vireo::display
