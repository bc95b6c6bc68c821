#include "vmm/base/json.h"

#include <fmt/format.h>

#include "vmm/base/printable.h"

namespace vireo {

namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const std::string_view sequence = text.substr(0, length);
    if (length == 0)
      out += "\\ufffd";
    else if (sequence == "\"" || sequence == "\\")
      out.append("\\").append(sequence);
    else if (const char32_t c = code_point(sequence); is_control(c))
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    else
      out += sequence;
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out + '"';
}

}  // namespace

Json::Json(double value) : text_(fmt::format("{}", value)) {}

Json::Json(std::string_view text) : text_(quoted(text)) {}

Json& Json::add(std::string_view key, Json value) {
  members_.emplace_back(quoted(key), std::move(value));
  return *this;
}

Json& Json::add(Json value) {
  members_.emplace_back("", std::move(value));
  return *this;
}

Json& Json::add_all(Json other) {
  for (Member& member : other.members_) members_.push_back(std::move(member));
  return *this;
}

std::string Json::print(size_t depth) const {
  if (kind_ == Kind::scalar) return text_;
  const std::string indent((depth + 1) * 4, ' ');
  std::string out = kind_ == Kind::object ? "{\n" : "[\n";
  for (const char* comma = ""; const auto& [key, value] : members_) {
    out += comma + indent + (key.empty() ? "" : key + ": ") + value.print(depth + 1);
    comma = ",\n";
  }
  return out + '\n' + std::string(depth * 4, ' ') + (kind_ == Kind::object ? '}' : ']');
}

std::string Json::line() const {
  if (kind_ == Kind::scalar) return text_;
  std::string out = kind_ == Kind::object ? "{ " : "[ ";
  for (const char* comma = ""; const auto& [key, value] : members_) {
    out += comma + (key.empty() ? "" : key + ": ") + value.line();
    comma = ", ";
  }
  return out + (kind_ == Kind::object ? "}" : "]");
}

}  // namespace vireo
