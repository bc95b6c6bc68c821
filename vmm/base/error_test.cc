#include "vmm/base/error.h"

#include <string>

#include <catch2/catch.hpp>

#include "vmm/testing/death.h"

using namespace vireo;

namespace {

std::string description_of(void (*body)()) {
  try {
    body();
  } catch (const std::exception& error) {
    return describe(error);
  }
  return "(nothing thrown)";
}

}  // namespace

TEST_CASE("throw_errno carries the text and the code") {
  try {
    throw_errno("cannot open 'x'", ENOENT);
    FAIL();
  } catch (const std::system_error& error) {
    REQUIRE(error.code() == std::errc::no_such_file_or_directory);
    REQUIRE(std::string(error.what()) == "cannot open 'x': No such file or directory");
  }
}

TEST_CASE("throw_errno takes errno when no error is given") {
  errno = EACCES;
  REQUIRE_THROWS_WITH(throw_errno("cannot do it"), "cannot do it: Permission denied");
}

TEST_CASE("with_context gives the result through, references included") {
  int value = 7;
  REQUIRE(with_context("counting", [&] { return value; }) == 7);
  int& same = with_context("looking", [&]() -> int& { return value; });
  REQUIRE(&same == &value);
}

TEST_CASE("describe tells the chain of contexts, outermost first") {
  REQUIRE(description_of([] {
            with_context("opening disk 'vda'", [] {
              with_context("reading its header", [] { throw_errno("cannot read 'a.img'", EIO); });
            });
          }) == "opening disk 'vda': reading its header: cannot read 'a.img': Input/output error");
}

TEST_CASE("with_context makes a ConfigError of what it wraps") {
  REQUIRE_THROWS_AS(with_context("x", [] { throw std::out_of_range("y"); }), ConfigError);
}

TEST_CASE("describe does without a nested message") {
  REQUIRE(description_of([] { throw ConfigError("no such kernel"); }) == "no such kernel");
  REQUIRE(description_of([] { with_context("outer", [] { throw 5; }); }) == "outer: unknown error");
}

TEST_CASE("VMM_CHECK aborts, naming why, the condition, and the file without the build machine") {
  const std::string text = testing::abort_message([] { VMM_CHECK(1 + 1 == 3, "sums hold"); });
  REQUIRE_THAT(text, Catch::Matches("vireo: internal error: sums hold \\(1 \\+ 1 == 3\\) at "
                                    "(\\.\\./)*vmm/base/error_test.cc:[0-9]+\n"));
}

TEST_CASE("VMM_CHECK evaluates its condition once and is one statement") {
  int evaluated = 0;
  if (evaluated == 0)
    VMM_CHECK(++evaluated == 1, "counts");
  else
    FAIL();
  REQUIRE(evaluated == 1);
}

TEST_CASE(
    "an exception becomes one of another type, with the words of those that are nested in it") {
  const auto step = [] { with_context("disk", [] { throw std::runtime_error("full"); }); };
  CHECK_THROWS_WITH((rethrow_as<std::logic_error, std::exception>(step)), "disk: full");
  CHECK_THROWS_AS((rethrow_as<std::logic_error, std::exception>(step)), std::logic_error);
  CHECK_THROWS_AS((rethrow_as<std::logic_error, std::system_error>(step)), ConfigError);
  CHECK(rethrow_as<std::logic_error, std::exception>([] { return 7; }) == 7);
}
