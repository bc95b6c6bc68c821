// Integers as they lie on a wire or a disk, and bounds-checked readers and writers over bytes.
// Value types; any thread. A reader that ran past its end stays failed: check ok() once, at the
// end.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace vireo {

template <std::unsigned_integral T>
constexpr T byteswap(T value) noexcept {
  if constexpr (sizeof(T) == 1) return value;
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}

// An integer of fixed byte order with alignment 1, so that wire structs need no packing attribute.
template <std::unsigned_integral T, std::endian Order>
class WireInt {
 public:
  constexpr WireInt() = default;
  constexpr WireInt(T value) noexcept  // NOLINT: converts on purpose
      : bytes_(std::bit_cast<Bytes>(in_order(value))) {}
  constexpr operator T() const noexcept {  // NOLINT: converts on purpose
    return in_order(std::bit_cast<T>(bytes_));
  }

 private:
  struct Bytes {
    unsigned char raw[sizeof(T)] = {};
  };
  static constexpr T in_order(T value) noexcept {
    return Order == std::endian::native ? value : byteswap(value);
  }
  Bytes bytes_;
};
template <class T>
using Le = WireInt<T, std::endian::little>;
template <class T>
using Be = WireInt<T, std::endian::big>;

using le16 = Le<uint16_t>;
using le32 = Le<uint32_t>;
using le64 = Le<uint64_t>;
using be16 = Be<uint16_t>;
using be32 = Be<uint32_t>;
using be64 = Be<uint64_t>;

// What may lie on a wire as it lies in memory: no padding (it would carry our memory to the peer),
// no pointer, and no view, which is written as the bytes it shows and not as its address.
template <class T>
concept Wire = std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T> &&
               !std::is_pointer_v<T> &&
               !std::ranges::enable_view<T> && !std::convertible_to<T, std::span<const std::byte>>;

template <Wire T>
std::span<const std::byte> bytes_of(const T& value) noexcept {
  return std::as_bytes(std::span(&value, 1));
}
template <Wire T>
std::span<std::byte> writable_bytes_of(T& value) noexcept {
  return std::as_writable_bytes(std::span(&value, 1));
}
// Comparing the bytes with themselves, one further on, runs at the speed of memcmp.
inline bool all_zero(std::span<const std::byte> bytes) noexcept {
  return bytes.empty() || (bytes.front() == std::byte{0} &&
                           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}
inline std::span<const std::byte> bytes_of_text(std::string_view text) noexcept {
  return std::as_bytes(std::span(text.data(), text.size()));
}

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) noexcept : rest_(bytes) {}

  // The next n bytes, or an empty span and failure.
  std::span<const std::byte> take(size_t n) noexcept {
    if (failed_ || n > rest_.size()) {
      failed_ = true;
      return {};
    }
    const auto taken = rest_.first(n);
    rest_ = rest_.subspan(n);
    return taken;
  }
  // The next T, or T{} and failure.
  template <Wire T>
  T get() noexcept {
    T value{};
    if (const auto from = take(sizeof(T)); from.size() == sizeof(T))
      std::memcpy(&value, from.data(), sizeof(T));
    return value;
  }
  std::span<const std::byte> rest() const noexcept { return rest_; }
  void fail() noexcept { failed_ = true; }
  bool ok() const noexcept { return !failed_; }
  bool at_end() const noexcept { return ok() && rest_.empty(); }

 private:
  std::span<const std::byte> rest_;
  bool failed_ = false;
};

class ByteWriter {
 public:
  // Not of the writer's own bytes().
  void put(std::span<const std::byte> bytes) {
    const size_t end = out_.size();
    out_.resize(end + bytes.size());  // vector::insert makes g++ 12 warn of an overflow at -O2
    if (!bytes.empty()) std::memcpy(out_.data() + end, bytes.data(), bytes.size());
  }
  template <Wire T>
  void put(const T& value) {
    put(bytes_of(value));
  }
  void zeros(size_t n) { out_.resize(out_.size() + n); }
  size_t size() const noexcept { return out_.size(); }
  std::span<std::byte> bytes() noexcept { return out_; }
  // What was written; the writer is empty again.
  std::vector<std::byte> take() noexcept { return std::exchange(out_, {}); }

 private:
  std::vector<std::byte> out_;
};

}  // namespace vireo
