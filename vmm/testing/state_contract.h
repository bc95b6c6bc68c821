// What every component's State must keep to, checked over samples of it: give one of power-on and
// some with every field and every list in use.
//
//   TEST_CASE("UartState keeps the state contract") { check_state_contract<UartState>({{}, busy});
//   }
//
// Saved and read again it is equal; missing it is power-on; another kind or version is refused; any
// truncation is refused; with any bit flipped it is refused, or is what the changed bytes say
// (saving it gives them back). The last two also show, under the sanitizers, that nothing crashes.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "vmm/base/state.h"

namespace vireo::testing {

template <class S>
StateSection saved(const S& state) {
  StateWriter writer;
  writer.put("it", state);
  return writer.take().at("it");
}

template <class S>
S restored(StateSection section) {
  StateReader reader({{"it", std::move(section)}});
  S state = reader.take<S>("it");
  reader.check_all_taken();
  return state;
}

namespace detail {

template <class S>
bool refuses(const StateSection& section) {
  try {
    restored<S>(section);
    return false;
  } catch (const StateError&) {
    return true;
  }
}

template <class S>
bool refuses_or_keeps(const StateSection& section) {
  return refuses<S>(section) || saved(restored<S>(section)).bytes == section.bytes;
}

// Tries every position of a small state, and evenly spread ones of a large state, as every try
// reads all of it.
inline size_t stride(size_t positions, size_t bytes) {
  constexpr size_t kBytesToRead = size_t{1} << 25;
  return (positions * bytes / kBytesToRead) | 1;  // odd: it meets every bit of a byte
}

template <class S>
size_t truncations_accepted(const StateSection& whole) {
  size_t accepted = 0;
  const size_t bytes = whole.bytes.size();
  for (size_t size = 0; size < bytes; size += stride(bytes, bytes)) {
    StateSection cut = whole;
    cut.bytes.resize(size);
    accepted += refuses<S>(cut) ? 0 : 1;
  }
  return accepted;
}

template <class S>
size_t bit_flips_mishandled(const StateSection& whole) {
  const size_t bits = whole.bytes.size() * 8;
  StateSection flipped = whole;
  size_t mishandled = 0;
  for (size_t bit = 0; bit < bits; bit += stride(bits, whole.bytes.size())) {
    flipped.bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    mishandled += refuses_or_keeps<S>(flipped) ? 0 : 1;
    flipped.bytes[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  return mishandled;
}

}  // namespace detail

template <class S>
void check_state_contract(const std::vector<S>& samples) {
  REQUIRE(StateReader().take<S>("it") == S{});
  for (const S& sample : samples) {
    const StateSection section = saved(sample);
    REQUIRE(restored<S>(section) == sample);
    REQUIRE(detail::truncations_accepted<S>(section) == 0);
    REQUIRE(detail::bit_flips_mishandled<S>(section) == 0);

    StateSection other = section;
    other.kind += "2";
    REQUIRE_THROWS_AS(restored<S>(other), StateError);
    other = section;
    ++other.version;
    REQUIRE_THROWS_AS(restored<S>(other), StateError);
    other = section;
    other.bytes.push_back(std::byte{0});
    REQUIRE_THROWS_AS(restored<S>(other), StateError);
  }
}

}  // namespace vireo::testing
