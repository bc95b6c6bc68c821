#include "tools/vireo/message.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <string>

#include <catch2/catch.hpp>

#include "vmm/base/fd.h"

namespace vireo::cli {
namespace {

// What comes out of standard error meanwhile.
template <class Body>
std::string said(Body body) {
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const UniqueFd reader(ends[0]), before(::dup(STDERR_FILENO));
  ::dup2(ends[1], STDERR_FILENO);
  ::close(ends[1]);
  body();
  ::dup2(before.get(), STDERR_FILENO);
  std::array<char, 4096> text{};
  const ssize_t length = ::read(reader.get(), text.data(), text.size());
  return std::string(text.data(), length > 0 ? static_cast<size_t>(length) : 0);
}

}  // namespace

TEST_CASE("a message is one line that steers no terminal") {
  CHECK(said([] { tell("the image 'a\x1b[31m\nb' is gone"); }) ==
        "vireo: the image 'a\\x1b[31m\\x0ab' is gone\n");
}

TEST_CASE("a message of several lines keeps them") {
  CHECK(said([] { tell_lines("crash"); }) == "vireo: crash\n");
  CHECK(said([] { tell_lines("crash:\nrip=0\x1b\n\nrax=1\n"); }) ==
        "vireo: crash:\nrip=0\\x1b\n\nrax=1\n\n");
}

}  // namespace vireo::cli
