#include "devices/chardev/escape.h"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

using namespace vireo::dev;

namespace {

struct Typed {
  std::string input;
  std::vector<EscapeCommand> commands;
};

Typed type(std::string_view text) {
  EscapeDecoder decoder;
  Typed typed;
  for (const char c : text) {
    const auto decoded = decoder.feed(static_cast<std::byte>(c));
    if (decoded.input) typed.input += static_cast<char>(*decoded.input);
    if (decoded.command) typed.commands.push_back(*decoded.command);
  }
  return typed;
}

using Commands = std::vector<EscapeCommand>;

}  // namespace

TEST_CASE("without the prefix everything is input") {
  const std::string all = "xphb\x02\x03\x1b[A\xff";
  REQUIRE(type(all).input == all);
  REQUIRE(type(all).commands.empty());
}

TEST_CASE("the prefix makes commands of letters") {
  REQUIRE(type("a\x01xb").input == "ab");
  REQUIRE(type("\x01x").commands == Commands{EscapeCommand::quit});
  REQUIRE(type("\x01p").commands == Commands{EscapeCommand::power_button});
  REQUIRE(type("\x01"
               "b")
              .commands == Commands{EscapeCommand::send_break});
  REQUIRE(type("\x01h\x01?").commands == Commands{EscapeCommand::help, EscapeCommand::help});
}

TEST_CASE("the prefix twice is the character itself, an unknown letter nothing") {
  REQUIRE(type("\x01\x01x").input == "\x01x");
  REQUIRE(type("\x01\x01x").commands.empty());
  REQUIRE(type("\x01zy").input == "y");
  REQUIRE(type("\x01zy").commands.empty());
}

TEST_CASE("the help names every command") {
  for (const char* line : {"Ctrl-A x", "Ctrl-A p", "Ctrl-A b", "Ctrl-A h", "Ctrl-A Ctrl-A"})
    REQUIRE(EscapeDecoder::help().find(line) != std::string_view::npos);
}
