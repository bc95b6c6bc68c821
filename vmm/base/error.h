// How errors travel: set-up throws (std::system_error, ConfigError), the data path returns
// std::error_code, a broken invariant of ours aborts. Any thread.
#pragma once

#include <cerrno>
#include <exception>
#include <string>
#include <system_error>
#include <utility>

#include "vireo/error.h"

namespace vireo {

// Throws std::system_error for the current errno (or `error`); `what` is "cannot open disk 'x'".
[[noreturn]] void throw_errno(const std::string& what, int error = errno);

// Runs `body`; an exception leaves it nested in "<context>".
template <class Body>
decltype(auto) with_context(const std::string& context, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (...) {
    std::throw_with_nested(ConfigError(context));
  }
}

// The chain of nested messages on one line, outermost first: "a: b: c".
std::string describe(const std::exception& error);

// Runs `step`; an exception of the type From leaves it as one of the type To, with the words of all
// that are nested in it.
template <class To, class From, class Step>
decltype(auto) rethrow_as(Step&& step) {
  try {
    return std::forward<Step>(step)();
  } catch (const From& error) {
    throw To(describe(error));
  }
}

namespace detail {
[[noreturn]] void check_failed(const char* condition, const char* why, const char* file, int line);
}

}  // namespace vireo

// Always on, also in release builds: going on with a broken invariant could hurt the host.
// An expression, so that the compiler sees in every mode that VMM_CHECK(false, …) does not return.
#define VMM_CHECK(condition, why) \
  (static_cast<bool>(condition)   \
       ? void()                   \
       : ::vireo::detail::check_failed(#condition, why, __FILE__, __LINE__))
