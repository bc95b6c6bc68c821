// What the library throws beside std::system_error, which is for what the host refuses. Any thread.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include "vireo/export.h"

namespace vireo {

// The user asked for something that cannot be: the text is one sentence (what, which, why, what to
// do) and is shown as it is.
class VIREO_EXPORT ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A guest did not say what a program waited for. what() is one sentence and the end of the output;
// transcript() is all of it.
class VIREO_EXPORT ExpectError : public std::runtime_error {
 public:
  enum class Reason : uint8_t { timeout, ended };
  ExpectError(Reason reason, const std::string& what, std::string transcript)
      : std::runtime_error(what), reason_(reason), transcript_(std::move(transcript)) {}
  Reason reason() const noexcept { return reason_; }
  const std::string& transcript() const noexcept { return transcript_; }

 private:
  Reason reason_;
  std::string transcript_;
};

}  // namespace vireo
