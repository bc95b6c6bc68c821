// A value, or the errno that stands in its place: what host calls give and what Rlerror carries.
// Values; any thread.
#pragma once

#include <cerrno>
#include <optional>
#include <utility>

#include "vmm/base/error.h"

namespace vireo::p9 {

struct Failure {
  int error = 0;  // an errno, not 0
};
inline Failure last_failure() noexcept {
  return {errno};
}

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}               // NOLINT: converts on purpose
  Result(Failure failure) noexcept : error_(failure.error) {  // NOLINT: converts on purpose
    VMM_CHECK(error_ != 0, "a failure has a reason");
  }

  explicit operator bool() const noexcept { return value_.has_value(); }
  T& operator*() noexcept { return *value_; }
  const T& operator*() const noexcept { return *value_; }
  T* operator->() noexcept { return &*value_; }
  const T* operator->() const noexcept { return &*value_; }
  int error() const noexcept { return error_; }  // 0 when there is a value
  Failure failure() const noexcept { return {error_}; }

 private:
  std::optional<T> value_;
  int error_ = 0;
};

// Of calls that only succeed or fail.
struct Done {};
using Outcome = Result<Done>;

// What a call that gives -1 and errno came to.
inline Outcome outcome_of(long returned) noexcept {
  if (returned < 0) return last_failure();
  return Done{};
}

}  // namespace vireo::p9
