#include "vmm/base/error.h"

#include <cstdio>
#include <cstdlib>

namespace vireo {

void throw_errno(const std::string& what, int error) {
  throw std::system_error(error, std::system_category(), what);
}

std::string describe(const std::exception& error) {
  std::string text = error.what();
  try {
    std::rethrow_if_nested(error);
  } catch (const std::exception& inner) {
    text += ": " + describe(inner);
  } catch (...) {
    text += ": unknown error";
  }
  return text;
}

namespace detail {

void check_failed(const char* condition, const char* why, const char* file, int line) {
  std::fprintf(stderr, "vireo: internal error: %s (%s) at %s:%d\n", why, condition, file, line);
  std::abort();
}

}  // namespace detail

}  // namespace vireo
