// Messages of every kind with fields from a small world: few fids, tags and names, so that requests
// meet each other's; now and then a number or a length that nothing allows.
//
// Plain functions of a generator; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <string_view>
#include <variant>
#include <vector>

#include "devices/p9/wire.h"

namespace vireo::p9 {

using Random = std::mt19937;

inline uint32_t below(Random& random, uint32_t limit) {
  return std::uniform_int_distribution<uint32_t>(0, limit - 1)(random);
}

// An archive that fills what it is shown.
class RandomFields {
 public:
  static constexpr uint32_t kFids = 6;

  explicit RandomFields(Random& random) noexcept : random_(random) {}
  template <class T>
  RandomFields& operator()(T& value) {
    if constexpr (std::unsigned_integral<T>)
      value = static_cast<T>(number());
    else if constexpr (std::is_same_v<T, std::string_view>)
      value = name();
    else if constexpr (std::is_same_v<T, Payload>)
      value.count = below(random_, 64);
    else
      T::fields(value, *this);
    return *this;
  }
  template <class T>
  RandomFields& operator()(Few<T>& few) {
    for (uint32_t left = below(random_, 4); left > 0; --left) {
      T item{};
      (*this)(item);
      few.push(item);
    }
    return *this;
  }

 private:
  uint64_t number() {
    constexpr std::array<uint64_t, 8> kOdd{0x200, 0x1ff,   0100644,    4096,
                                           65536, 1 << 20, 0xffffffff, ~uint64_t{0}};
    return below(random_, 8) == 0 ? kOdd.at(below(random_, kOdd.size())) : below(random_, kFids);
  }
  std::string_view name() {
    constexpr std::array<std::string_view, 14> kNames{"a",  "b",  "d",    "a", "b",   "d",      "d",
                                                      "..", "..", "link", ".", "a/b", "user.a", ""};
    return kNames.at(below(random_, kNames.size()));
  }
  Random& random_;
};

template <class T>
std::vector<std::byte> random_message_as(Random& random, uint16_t tag) {
  T message;
  RandomFields fields(random);
  fields(message);
  if constexpr (std::is_same_v<T, Tversion>) message = {65536, kProtocol};
  uint32_t data = 0;
  if constexpr (std::is_same_v<T, Twrite>) data = message.data.count;
  auto bytes = encode(T::kType, tag, message, data);
  bytes.resize(bytes.size() + data);
  return bytes;
}

namespace detail {
template <class Variant>
struct MakersOf;
template <class... T>
struct MakersOf<std::variant<std::monostate, T...>> {
  static constexpr std::array value{random_message_as<T>...};
};
}  // namespace detail

// A fid that goes up while others act on it.
inline std::vector<std::byte> random_walk_up(Random& random, uint16_t tag) {
  const uint32_t fid = below(random, RandomFields::kFids);
  Twalk walk{fid, fid};
  walk.names.push("..");
  return encode(Twalk::kType, tag, walk);
}

// Most of them make, open and move fids, without which the others have nothing to act on.
inline std::vector<std::byte> random_message(Random& random, uint16_t tag) {
  constexpr auto kMakers = detail::MakersOf<Request>::value;
  switch (below(random, 16)) {
    case 0:
    case 1:
      return random_walk_up(random, tag);
    case 2:
      return random_message_as<Tlopen>(random, tag);
    case 3:
      return random_message_as<Trename>(random, tag);
    case 4:
      return random_message_as<Tremove>(random, tag);
    case 5:
      return random_message_as<Tlock>(random, tag);
    case 6:
    case 7:
    case 8:
      return kMakers.at(below(random, kMakers.size()))(random, tag);
    default:
      return random_message_as<Twalk>(random, tag);
  }
}

}  // namespace vireo::p9
