#include "vmm/base/json_reader.h"

#include <cctype>
#include <charconv>

#include <fmt/format.h>

#include "vmm/base/error.h"

namespace vireo {

namespace {

constexpr size_t kMaxDepth = 32;  // of values in values: the reader calls itself

void append_utf8(std::string& text, uint32_t code) {
  const auto put = [&text](uint32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xc0 | code >> 6);
  } else {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
  }
  put(0x80 | (code & 0x3f));
}

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  std::map<std::string, std::string> run() {
    if (next() != '{') fail("an object is needed");
    value("", 0);
    if (next() != '\0') fail("something follows the object");
    return std::move(members_);
  }

 private:
  [[noreturn]] static void fail(const std::string& why) {
    throw ConfigError(fmt::format("the JSON text is not valid: {}", why));
  }

  // The next character that is no white space; 0 at the end.
  char next() {
    while (!rest_.empty() && std::string_view(" \t\r\n").find(rest_.front()) != rest_.npos)
      rest_.remove_prefix(1);
    return rest_.empty() ? '\0' : rest_.front();
  }
  bool take(char c) {
    if (next() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void need(char c) {
    if (!take(c)) fail(fmt::format("'{}' is missing", c));
  }
  char any() {
    if (rest_.empty()) fail("it ends too early");
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }

  void value(const std::string& key, size_t depth) {
    if (depth > kMaxDepth) fail("it is nested too deeply");
    switch (next()) {
      case '{':
        return object(key, depth);
      case '[':
        return array(key, depth);
      case '"':
      case '\'':
        return set(key, string());
      default:
        return set(key, word());
    }
  }
  void object(const std::string& key, size_t depth) {
    need('{');
    if (take('}')) return;
    do {
      if (next() != '"' && next() != '\'') fail("a key is missing");
      const std::string name = string();
      need(':');
      value(key.empty() ? name : key + "." + name, depth + 1);
    } while (take(','));
    need('}');
  }
  void array(const std::string& key, size_t depth) {
    need('[');
    if (take(']')) return;
    size_t index = 0;
    do value(fmt::format("{}.{}", key, index++), depth + 1);
    while (take(','));
    need(']');
  }
  void set(const std::string& key, std::string text) {
    if (!members_.emplace(key, std::move(text)).second) fail(fmt::format("'{}' comes twice", key));
  }

  // A number, true, false or null.
  std::string word() {
    size_t length = 0;
    while (length < rest_.size() && (std::isalnum(static_cast<unsigned char>(rest_[length])) != 0 ||
                                     std::string_view("+-.").find(rest_[length]) != rest_.npos))
      ++length;
    const std::string text(rest_.substr(0, length));
    const bool number =
        !text.empty() && std::string_view("-0123456789").find(text[0]) != rest_.npos;
    if (!number && text != "true" && text != "false" && text != "null") fail("a value is missing");
    rest_.remove_prefix(length);
    return text;
  }
  // QEMU lets single quotes stand for double ones.
  std::string string() {
    const char quote = any();
    std::string text;
    for (char c = any(); c != quote; c = any()) {
      if (static_cast<unsigned char>(c) < 0x20) fail("a string has a control character");
      if (c == '\\')
        escape(text);
      else
        text += c;
    }
    return text;
  }
  void escape(std::string& text) {
    constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    const char c = any();
    if (c == 'u') return append_utf8(text, unicode());
    const size_t at = kLetters.find(c);
    if (at == kLetters.npos) fail("a string has an unknown escape");
    text += kMeanings[at];
  }
  uint32_t unicode() {
    uint32_t code = 0;
    const std::string_view digits = rest_.substr(0, 4);
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
    if (digits.size() < 4 || result.ptr != digits.data() + 4 || code == 0 || code >> 11 == 0x1b)
      fail("\\u needs four digits of a character that stands alone");  // no NUL, no surrogates
    rest_.remove_prefix(4);
    return code;
  }

  std::string_view rest_;
  std::map<std::string, std::string> members_;
};

}  // namespace

std::map<std::string, std::string> flatten_json(std::string_view text) {
  return Reader(text).run();
}

}  // namespace vireo
