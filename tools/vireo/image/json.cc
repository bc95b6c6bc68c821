#include "tools/vireo/image/json.h"

#include <fmt/format.h>

namespace vireo::cli {

namespace {

// The length of the UTF-8 sequence at the start of `text`, 0 when there is none (RFC 3629, 4).
size_t sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  if (first == 0xe0 && byte(1) < 0xa0) return 0;  // overlong
  if (first == 0xed && byte(1) > 0x9f) return 0;  // surrogates
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) > 0x8f) return 0;  // beyond U+10FFFF
  return length;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    const char c = text[0];
    if (length == 0)
      out += "\\ufffd";
    else if (c == '"' || c == '\\')
      out += {'\\', c};
    else if (length == 1 && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f))
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    else
      out += text.substr(0, length);
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

}  // namespace vireo::cli
