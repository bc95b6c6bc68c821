// Saving and restoring state. A component keeps everything the guest can observe in one aggregate
//
//   struct State {
//     static constexpr StateTag kTag{"uart16550", 1};
//     uint8_t ier = 0; std::vector<uint8_t> rx;
//     static void fields(auto& self, auto& archive) { archive("ier", self.ier)("rx", self.rx); }
//     bool operator==(const State&) const = default;
//   };
//
// and one list of fields serves saving and restoring; the names tell where damage was found. A
// snapshot is a list of sections, one per component name, each with the tag's kind and version; a
// version other than the one this build knows is refused, never converted.
//
// Fields may be: integers, bool, enums of fixed underlying type, std::string, and std::array,
// std::vector, std::optional, std::pair and nested structs with fields() of such, themselves too to
// a depth of 32. Elements of a vector take at least one byte. Values; any thread. Errors:
// StateError, naming the section and the field. What is read is untrusted: it never takes more
// memory than a fixed multiple of the bytes that are there, and it is read only if saving it again
// gives the same bytes. What the values mean is for the component to check.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "vmm/base/bytes.h"

namespace vireo {

struct StateTag {
  std::string_view kind;
  uint32_t version;
};

class StateError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

// T{0} is there for an enum just when its underlying type is fixed, so that every value is valid.
template <class T>
concept Scalar = std::is_integral_v<T> ||(std::is_enum_v<T>&& requires { T{0}; });
// Runs of these are written as they lie in memory. Not bool: not every byte is one.
template <class T>
concept RawByte = Scalar<T> && sizeof(T) == 1 && !std::is_same_v<T, bool>;

struct ElementProbe {
  template <class T>
  ElementProbe& operator()(std::string_view, T&) {
    return *this;
  }
};
template <class T>
concept Composite = std::is_class_v<T> && requires(T& t, ElementProbe& probe) {
  T::fields(t, probe);
};

class Encoder {
 public:
  template <class T>
  Encoder& operator()(std::string_view, const T& value) {
    encode(value);
    return *this;
  }
  std::vector<std::byte> take() noexcept { return out_.take(); }

 private:
  template <Scalar T>
  void encode(const T& value) {
    out_.put(le64(static_cast<uint64_t>(value)));
  }
  void encode(const std::string& text) {
    encode(text.size());
    out_.put(bytes_of_text(text));
  }
  template <class T>
  void encode_items(std::span<const T> items) {
    if constexpr (RawByte<T>)
      out_.put(std::as_bytes(items));
    else
      for (const T& item : items) encode(item);
  }
  template <class T, size_t N>
  void encode(const std::array<T, N>& items) {
    encode_items(std::span<const T>(items));
  }
  template <class T>
  void encode(const std::vector<T>& items) {
    encode(items.size());
    encode_items(std::span<const T>(items));
  }
  template <class T>
  void encode(const std::optional<T>& item) {
    encode(item.has_value());
    if (item) encode(*item);
  }
  template <class A, class B>
  void encode(const std::pair<A, B>& item) {
    encode(item.first);
    encode(item.second);
  }
  template <Composite T>
  void encode(const T& value) {
    T::fields(value, *this);
  }
  ByteWriter out_;
};

class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> bytes) noexcept : in_(bytes) {}
  template <class T>
  Decoder& operator()(std::string_view name, T& value) {
    decode(value);
    if (!in_.ok() && damaged_.empty()) damaged_ = name;
    return *this;
  }
  bool complete() const noexcept { return in_.at_end(); }
  // The innermost field that could not be read; empty when all could and bytes are left over.
  std::string_view damaged_field() const noexcept { return damaged_; }

 private:
  static constexpr int kMaxDepth = 32;

  template <Scalar T>
  void decode(T& value) {
    const uint64_t wide = in_.get<le64>();
    value = static_cast<T>(wide);
    if (static_cast<uint64_t>(value) != wide) in_.fail();  // does not fit: not what we wrote
  }
  // An element count; each element takes at least one byte, so a larger count is a lie.
  size_t decode_count() {
    uint64_t count = in_.get<le64>();
    if (count > in_.rest().size()) {
      in_.fail();
      count = 0;
    }
    return static_cast<size_t>(count);
  }
  template <class T>
  void decode_items(std::span<T> items) {
    if constexpr (RawByte<T>) {
      const auto from = in_.take(items.size());
      if (from.size() == items.size() && !items.empty())
        std::memcpy(items.data(), from.data(), items.size());
    } else {
      for (T& item : items) decode(item);
    }
  }
  void decode(std::string& text) {
    text.resize(decode_count());
    decode_items(std::span(text.data(), text.size()));
  }
  template <class T, size_t N>
  void decode(std::array<T, N>& items) {
    decode_items(std::span<T>(items));
  }
  template <class T>
  void decode(std::vector<T>& items) {
    const size_t count = decode_count();
    if constexpr (RawByte<T>) {
      items = std::vector<T>(count);  // resize makes g++ 12 warn of an overflow at -O2
      decode_items(std::span<T>(items));
    } else {
      items.clear();
      for (size_t i = 0; i < count && in_.ok(); ++i) decode_element(items.emplace_back());
    }
  }
  template <class T>
  void decode_element(T& item) {
    const size_t before = in_.rest().size();
    decode(item);
    if (in_.rest().size() == before) in_.fail();
  }
  template <class T>
  void decode(std::optional<T>& item) {
    bool present = false;
    decode(present);
    item.reset();
    if (present) decode(item.emplace());
  }
  template <class A, class B>
  void decode(std::pair<A, B>& item) {
    decode(item.first);
    decode(item.second);
  }
  template <Composite T>
  void decode(T& value) {
    if (depth_ == kMaxDepth) return in_.fail();
    ++depth_;
    T::fields(value, *this);
    --depth_;
  }
  ByteReader in_;
  std::string_view damaged_;  // field names are literals
  int depth_ = 0;
};

}  // namespace detail

// One component's saved state.
struct StateSection {
  std::string kind;
  uint32_t version = 0;
  std::vector<std::byte> bytes;
};

using StateSections = std::map<std::string, StateSection>;  // by component name

class StateWriter {
 public:
  // Throws StateError when the name was used before.
  template <class S>
  void put(const std::string& name, const S& state) {
    detail::Encoder encoder;
    S::fields(state, encoder);
    add(name, StateSection{std::string(S::kTag.kind), S::kTag.version, encoder.take()});
  }
  StateSections take() noexcept { return std::move(sections_); }

 private:
  void add(const std::string& name, StateSection section);
  StateSections sections_;
};

class StateReader {
 public:
  StateReader() = default;  // nothing saved: every take() gives the power-on state
  explicit StateReader(StateSections sections) noexcept : sections_(std::move(sections)) {}

  // The component's saved state, or S{} when there is none. Throws StateError on another kind or
  // version and on bytes that are not such a state.
  template <class S>
  S take(const std::string& name) {
    S state{};
    const auto section = extract(name, S::kTag);
    if (!section) return state;
    detail::Decoder decoder(section->bytes);
    S::fields(state, decoder);
    if (!decoder.complete()) throw_damaged(name, decoder.damaged_field());
    return state;
  }
  // Throws StateError naming a section that nobody took.
  void check_all_taken() const;

 private:
  std::optional<StateSection> extract(const std::string& name, StateTag tag);
  [[noreturn]] static void throw_damaged(const std::string& name, std::string_view field);
  StateSections sections_;
};

}  // namespace vireo
