// How often in a row KVM_RUN may say EAGAIN: for a processor that was only just started, or a page
// that is not there right now, it is to be called again, but a KVM that says nothing else would
// keep a host's processor busy for ever.
//
// Thread: one. Calls that took a while count as progress: the kernel waited in them for something.
#pragma once

#include <chrono>

namespace vireo {

class RetryLimit {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds kLongest{10};
  static constexpr unsigned kTries = 1000;          // at least, however long they took
  static constexpr std::chrono::seconds kPause{1};  // between two tries that are not in a row

  // After a try in vain; false when it was one too many.
  bool may_retry(Time now) noexcept {
    if (tries_ == 0 || now - last_ > kPause) {
      first_ = now;
      tries_ = 0;
    }
    last_ = now;
    return ++tries_ <= kTries || now - first_ <= kLongest;
  }
  // Tries in a row so far.
  unsigned tries() const noexcept { return tries_; }
  void succeeded() noexcept { tries_ = 0; }

 private:
  unsigned tries_ = 0;
  Time first_{};
  Time last_{};
};

}  // namespace vireo
