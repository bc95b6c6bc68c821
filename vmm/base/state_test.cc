#include "vmm/base/state.h"

#include <algorithm>
#include <limits>
#include <string>

#include <catch2/catch.hpp>

#include "vmm/testing/state_contract.h"

using namespace vireo;
using testing::check_state_contract;
using testing::restored;
using testing::saved;

namespace {

enum class Mode : uint8_t { off, on };
enum Plain : int16_t { kNegative = -5, kPositive = 5 };

struct Inner {
  uint16_t a = 1;
  std::optional<std::string> name;
  static void fields(auto& self, auto& archive) { archive("a", self.a)("name", self.name); }
  bool operator==(const Inner&) const = default;
};

// One of everything that a field may be.
struct Everything {
  static constexpr StateTag kTag{"everything", 3};
  bool flag = false;
  uint8_t u8 = 1;
  int8_t i8 = -1;
  uint64_t u64 = 0;
  int64_t i64 = 0;
  char letter = 'a';
  Mode mode = Mode::on;
  Plain plain = kNegative;
  std::byte byte{7};
  std::string text = "power-on";
  std::array<uint8_t, 3> raw{1, 2, 3};
  std::array<bool, 2> flags{true, false};
  std::array<uint32_t, 2> words{};
  std::array<Inner, 2> inners{};
  std::vector<uint8_t> bytes;
  std::vector<Mode> modes;
  std::vector<Inner> list;
  std::vector<std::vector<uint16_t>> nested;
  std::optional<bool> maybe;
  std::optional<std::vector<std::optional<Inner>>> deep;
  std::pair<uint8_t, std::string> pair;
  static void fields(auto& self, auto& archive) {
    archive("flag", self.flag)("u8", self.u8)("i8", self.i8)("u64", self.u64)("i64", self.i64);
    archive("letter", self.letter)("mode", self.mode)("plain", self.plain)("byte", self.byte);
    archive("text", self.text)("raw", self.raw)("flags", self.flags)("words", self.words);
    archive("inners", self.inners)("bytes", self.bytes)("modes", self.modes)("list", self.list);
    archive("nested", self.nested)("maybe", self.maybe)("deep", self.deep)("pair", self.pair);
  }
  bool operator==(const Everything&) const = default;
};

Everything busy() {
  Everything state;
  state.flag = true;
  state.u64 = std::numeric_limits<uint64_t>::max();
  state.i64 = std::numeric_limits<int64_t>::min();
  state.i8 = -128;
  state.plain = kPositive;
  state.text = std::string("a\0b", 3);
  state.words = {1, 0xffffffff};
  state.inners[1] = {9, "x"};
  state.bytes.assign(40, 0xaa);
  state.modes = {Mode::on, Mode::off};
  state.list = {{1, std::nullopt}, {2, ""}, {3, "three"}};
  state.nested = {{}, {1, 2}, {3}};
  state.maybe = false;
  state.deep = {{std::nullopt, Inner{4, "four"}}};
  state.pair = {5, "five"};
  return state;
}

struct Small {
  static constexpr StateTag kTag{"small", 1};
  bool flag = false;
  uint16_t number = 0;
  std::vector<uint8_t> bytes;
  static void fields(auto& self, auto& archive) {
    archive("flag", self.flag)("number", self.number)("bytes", self.bytes);
  }
  bool operator==(const Small&) const = default;
};

struct Nothing {
  static void fields(auto&, auto&) {}
  bool operator==(const Nothing&) const = default;
};

struct ListOfNothing {
  static constexpr StateTag kTag{"nothings", 1};
  std::vector<Nothing> list;
  std::vector<uint8_t> rest;
  static void fields(auto& self, auto& archive) { archive("list", self.list)("rest", self.rest); }
};

struct Flags {
  static constexpr StateTag kTag{"flags", 1};
  std::array<bool, 2> flags{};
  static void fields(auto& self, auto& archive) { archive("flags", self.flags); }
};

struct Tree {
  static constexpr StateTag kTag{"tree", 1};
  std::vector<Tree> branches;
  static void fields(auto& self, auto& archive) { archive("branches", self.branches); }
  bool operator==(const Tree&) const = default;
};

Tree of_depth(int depth) {
  Tree tree;
  for (int i = 1; i < depth; ++i) {
    Tree higher;
    higher.branches.push_back(std::move(tree));
    tree = std::move(higher);
  }
  return tree;
}

// A section from 64-bit words, as scalars and counts lie.
template <class S>
StateSection section(std::initializer_list<uint64_t> words) {
  ByteWriter bytes;
  for (const uint64_t word : words) bytes.put(le64(word));
  return {std::string(S::kTag.kind), S::kTag.version, bytes.take()};
}

template <class S>
std::string refusal(const StateSection& damaged) {
  try {
    restored<S>(damaged);
    return "(accepted)";
  } catch (const StateError& error) {
    return error.what();
  }
}

}  // namespace

TEST_CASE("every kind of field keeps the state contract") {
  check_state_contract<Everything>({Everything{}, busy()});
  check_state_contract<Small>({Small{}, Small{true, 0x1234, {1, 2, 3}}});
  check_state_contract<Tree>({Tree{}, of_depth(5), Tree{{of_depth(2), of_depth(3)}}});
}

TEST_CASE("a large state keeps the contract in bounded time") {
  Small large{true, 1, std::vector<uint8_t>(100'000, 0x55)};
  check_state_contract<Small>({large});
}

TEST_CASE("the bytes are as the format says") {
  const StateSection small = saved(Small{true, 0x1234, {0xaa, 0xbb}});
  REQUIRE(small.kind == "small");
  REQUIRE(small.version == 1);
  StateSection expected = section<Small>({1, 0x1234, 2});
  expected.bytes.insert(expected.bytes.end(), {std::byte{0xaa}, std::byte{0xbb}});
  REQUIRE(small.bytes == expected.bytes);
}

TEST_CASE("a value that does not fit its field is damage, and the message names the field") {
  REQUIRE(refusal<Small>(section<Small>({0, 0, 0})) == "(accepted)");
  REQUIRE(refusal<Small>(section<Small>({2, 0, 0})) ==
          "the saved state of 'it' is damaged at its 'flag'");
  REQUIRE(refusal<Small>(section<Small>({1, 0x10000, 0})) ==
          "the saved state of 'it' is damaged at its 'number'");
  REQUIRE(refusal<Small>(section<Small>({1, 0, 1})) ==
          "the saved state of 'it' is damaged at its 'bytes'");
  REQUIRE(refusal<Small>(section<Small>({1, 0, 0, 0})) ==
          "the saved state of 'it' is damaged: it is too long");
  REQUIRE(refusal<Small>({"small", 1, {}}) == "the saved state of 'it' is damaged at its 'flag'");
}

TEST_CASE("a bool in a list is no other byte than 0 and 1 either") {
  REQUIRE(restored<Flags>(section<Flags>({0, 1})).flags == std::array{false, true});
  REQUIRE_THAT(refusal<Flags>(section<Flags>({0, 2})), Catch::EndsWith("'flags'"));
}

TEST_CASE("damage inside a nested struct is named by its innermost field") {
  StateSection whole = saved(busy());
  const std::string_view three = "three";
  const auto at = std::search(whole.bytes.begin(), whole.bytes.end(), bytes_of_text(three).begin(),
                              bytes_of_text(three).end());
  REQUIRE(at != whole.bytes.end());
  *(at - 1) = std::byte{0xff};  // the highest byte of its length
  REQUIRE(refusal<Everything>(whole) == "the saved state of 'it' is damaged at its 'name'");
}

TEST_CASE("a count that the bytes cannot hold is refused before anything is allocated") {
  // Under the sanitizers an allocation of this size would end the process.
  const uint64_t most = std::numeric_limits<uint64_t>::max();
  REQUIRE_THAT(refusal<Small>(section<Small>({1, 0, most})), Catch::EndsWith("'bytes'"));
  REQUIRE_THAT(refusal<Small>(section<Small>({1, 0, uint64_t{1} << 40})),
               Catch::EndsWith("'bytes'"));
  REQUIRE_THAT(refusal<Tree>(section<Tree>({most})), Catch::EndsWith("'branches'"));
  REQUIRE_THAT(refusal<Tree>(section<Tree>({8, 0})), Catch::EndsWith("'branches'"));
}

TEST_CASE("elements that take no bytes are refused: nothing would bound their number") {
  REQUIRE_THAT(refusal<ListOfNothing>(section<ListOfNothing>({3, 0, 0, 0})),
               Catch::EndsWith("'list'"));
}

TEST_CASE("nesting is bounded, whatever the bytes say") {
  REQUIRE(restored<Tree>(saved(of_depth(33))) == of_depth(33));  // the outermost and 32 in it
  REQUIRE_THAT(refusal<Tree>(saved(of_depth(34))), Catch::EndsWith("'branches'"));
  ByteWriter ones;  // a million levels, if the stack held
  for (int i = 0; i < 1'000'000; ++i) ones.put(le64(1));
  REQUIRE_THAT(refusal<Tree>({"tree", 1, ones.take()}), Catch::EndsWith("'branches'"));
}

TEST_CASE("another kind or version is refused, naming both") {
  StateSection other = saved(Small{});
  other.version = 2;
  REQUIRE(refusal<Small>(other) ==
          "the saved state of 'it' is small version 2, this build reads small version 1");
  REQUIRE(refusal<Everything>(saved(Small{})) ==
          "the saved state of 'it' is small version 1, this build reads everything version 3");
}

TEST_CASE("a component without a saved state gets its power-on state") {
  StateWriter writer;
  writer.put("other", Small{});
  StateReader reader(writer.take());
  REQUIRE(reader.take<Everything>("it") == Everything{});
  REQUIRE(StateReader().take<Small>("it") == Small{});
}

TEST_CASE("a section is taken once, and what nobody takes is an error that names it") {
  StateWriter writer;
  writer.put("com1", Small{true, 1, {}});
  writer.put("com2", Small{});
  StateReader reader(writer.take());
  REQUIRE(reader.take<Small>("com1").flag);
  REQUIRE(!reader.take<Small>("com1").flag);
  REQUIRE_THROWS_WITH(reader.check_all_taken(), Catch::Contains("'com2'"));
  reader.take<Small>("com2");
  reader.check_all_taken();
}

TEST_CASE("two components of one name cannot both be saved") {
  StateWriter writer;
  writer.put("vda", Small{});
  REQUIRE_THROWS_WITH(writer.put("vda", Everything{}), "two components save their state as 'vda'");
}
