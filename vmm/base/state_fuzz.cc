// The reader of saved states, fed with anything. What it accepts it must write again byte for byte:
// so nothing is skipped, nothing is read twice, and no two snapshots say the same.
//
// Input: one byte that chooses the state, then the bytes of its section.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "vmm/base/error.h"
#include "vmm/base/state.h"

namespace {

using vireo::StateReader;
using vireo::StateSection;
using vireo::StateTag;
using vireo::StateWriter;

enum class Mode : uint8_t { off, on };

struct Leaf {
  uint16_t number = 0;
  std::optional<std::string> text;
  static void fields(auto& self, auto& archive) {
    archive("number", self.number)("text", self.text);
  }
};

struct Record {
  static constexpr StateTag kTag{"record", 1};
  bool flag = false;
  int8_t small = 0;
  Mode mode = Mode::off;
  std::array<bool, 2> flags{};
  std::array<uint8_t, 4> raw{};
  std::vector<uint8_t> bytes;
  std::vector<Leaf> leaves;
  std::vector<std::vector<uint32_t>> words;
  std::pair<uint64_t, std::optional<bool>> pair;
  static void fields(auto& self, auto& archive) {
    archive("flag", self.flag)("small", self.small)("mode", self.mode)("flags", self.flags);
    archive("raw", self.raw)("bytes", self.bytes)("leaves", self.leaves)("words", self.words);
    archive("pair", self.pair);
  }
};

struct Tree {
  static constexpr StateTag kTag{"tree", 1};
  std::vector<Tree> branches;
  std::optional<std::array<uint8_t, 3>> fruit;
  static void fields(auto& self, auto& archive) {
    archive("branches", self.branches)("fruit", self.fruit);
  }
};

template <class S>
void read_and_write(std::span<const std::byte> bytes) {
  StateReader reader(
      {{"it",
        StateSection{std::string(S::kTag.kind), S::kTag.version, {bytes.begin(), bytes.end()}}}});
  try {
    const S state = reader.take<S>("it");
    StateWriter writer;
    writer.put("it", state);
    const StateSection again = writer.take().at("it");
    VMM_CHECK(std::ranges::equal(again.bytes, bytes), "what was read is what is saved");
  } catch (const vireo::StateError&) {
    // Refused, as most inputs are.
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
  if (data[0] % 2 == 0)
    read_and_write<Record>(bytes);
  else
    read_and_write<Tree>(bytes);
  return 0;
}
