#include "devices/pc/keys.h"

#include <catch2/catch.hpp>

#include "vmm/base/error.h"

namespace vireo::pc {
namespace {

enum class Colour : uint8_t { red, green };

struct Thing {
  std::string path{};
  bool shiny = false;
  uint16_t legs = 4;
  uint64_t weight = 1024;
  Colour colour = Colour::red;
  std::vector<std::string> names{};
};

Keys keys_of(Thing& thing) {
  return Keys()
      .text({"path", "FILE", "where the thing lies"}, thing.path)
      .flag({"shiny", "on", "shines"}, thing.shiny)
      .number({"legs", "N", "how many legs"}, thing.legs, 1, 8)
      .size({"weight", "SIZE",
             "how heavy, in a sentence that is so long that it does not fit into "
             "one line of the help (1k)"},
            thing.weight, 0, 4096)
      .choice<Colour>({"colour", "red|green", ""}, thing.colour,
                      {{"red", Colour::red}, {"green", Colour::green}})
      .list(
          {"name", "NAME", "what it is called"},
          [&thing](const std::string& text) { thing.names.push_back(text); },
          [&thing] { return thing.names; });
}

Thing parse(const std::string& text) {
  Thing thing;
  keys_of(thing).assign("--thing", pairs_of(text, "path"));
  return thing;
}

std::string refused(const std::string& text) {
  try {
    parse(text);
    return "accepted";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

}  // namespace

TEST_CASE("keys and values, a bare path, and doubled commas") {
  const Thing bare = parse("a/b=c.img,shiny=on");
  CHECK(bare.path == "a/b=c.img");
  CHECK(bare.shiny);
  const Thing named = parse("shiny=off,path=x,,y.img,legs=2,weight=4k,colour=green,name=b,name=a");
  CHECK(named.path == "x,y.img");
  CHECK_FALSE(named.shiny);
  CHECK(named.legs == 2);
  CHECK(named.weight == 4096);
  CHECK(named.colour == Colour::green);
  CHECK(named.names == std::vector<std::string>{"b", "a"});
}

TEST_CASE("what is wrong with a key is said in one sentence that names it") {
  CHECK(refused("x,heads=2") ==
        "--thing: there is no 'heads': the keys are path, shiny, legs, weight, colour, name");
  CHECK(refused("x,shiny") == "--thing: 'shiny' lacks a value: write shiny=…");
  CHECK(refused("x,") ==
        "--thing: there is no '': the keys are path, shiny, legs, weight, colour, "
        "name");
  CHECK(refused("x,legs=2,legs=2") == "--thing: 'legs' is given twice");
  CHECK(refused("x,path=y") == "--thing: 'path' is given twice");
  CHECK(refused("x,shiny=yes") == "--thing: shiny=yes: it is on or off");
  CHECK(refused("x,legs=9") == "--thing: legs: '9' is not a number from 1 to 8");
  CHECK(refused("x,weight=5k") == "--thing: weight=5k: it is 0 to 4096 bytes");
  CHECK_THAT(refused("x,weight=fat"), Catch::StartsWith("--thing: weight: 'fat' is not a size"));
  CHECK(refused("x,colour=blue") == "--thing: colour=blue: it is one of red, green");
  Thing thing;
  CHECK_THROWS_WITH(keys_of(thing).assign("legs", "0", "--legs"),
                    "--legs: '0' is not a number from 1 to 8");
}

TEST_CASE("in JSON is what differs, each in its own kind") {
  Thing thing = parse("x,shiny=on,legs=2,weight=2k,name=a"), other;
  CHECK(keys_of(thing).json(keys_of(other)).line() ==
        R"({ "path": "x", "shiny": true, "legs": 2, "weight": "2k", "name": [ "a"]})");
  CHECK(keys_of(other).json(keys_of(other)).line() == "{ }");
}

TEST_CASE("the help has two columns, and keys that are told together") {
  Thing thing;
  CHECK(keys_of(thing).help() ==
        R"(  path=FILE          where the thing lies
  shiny=on           shines
  legs=N             how many legs
  weight=SIZE, colour=red|green
                     how heavy, in a sentence that is so long that it does not fit into one line of
                     the help (1k)
  name=NAME          what it is called
)");
}

}  // namespace vireo::pc
