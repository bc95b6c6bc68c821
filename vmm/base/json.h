// A JSON value to print: members in the order they were added, text escaped, bytes that are not
// UTF-8 replaced. Any thread.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vireo {

class Json {
 public:
  static Json object() { return Json(Kind::object); }
  static Json array() { return Json(Kind::array); }
  Json(bool value) : text_(value ? "true" : "false") {}
  Json(std::integral auto value) : text_(std::to_string(value)) {}
  Json(double value);
  Json(std::string_view text);
  Json(const std::string& text) : Json(std::string_view(text)) {}
  Json(const char* text) : Json(std::string_view(text)) {}

  Json& add(std::string_view key, Json value);  // to an object; returns it
  Json& add(Json value);                        // to an array
  Json& add_all(Json other);                    // the members of another object, or elements
  bool empty() const noexcept { return members_.empty(); }

  std::string pretty() const { return print(0); }  // as qemu-img lays it out, four spaces a level
  std::string line() const;                        // { "key": value, … }

 private:
  enum class Kind : uint8_t { scalar, object, array };
  // The key as it is printed; empty in an array.
  using Member = std::pair<std::string, Json>;
  explicit Json(Kind kind) : kind_(kind) {}
  std::string print(size_t depth) const;

  Kind kind_ = Kind::scalar;
  std::string text_;  // of a scalar, as it is printed
  std::vector<Member> members_;
};

}  // namespace vireo
