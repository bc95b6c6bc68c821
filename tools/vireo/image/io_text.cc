#include "tools/vireo/image/io_text.h"

#include <cctype>
#include <charconv>
#include <sstream>

#include <fmt/format.h>

#include "vmm/base/error.h"
#include "vmm/base/parse.h"

namespace vireo::cli {

namespace {

constexpr uint64_t kMaxLength = 2147483136;  // INT_MAX in whole sectors

// "00.05 sec", "1:02:03.40".
std::string io_time(std::chrono::nanoseconds time, bool all) {
  const auto hundredths = time.count() / 10'000'000;
  const auto seconds = hundredths / 100, minutes = seconds / 60, hours = minutes / 60;
  if (!all && minutes == 0) return fmt::format("{:02}.{:02} sec", seconds, hundredths % 100);
  return fmt::format("{}:{:02}:{:02}.{:02}", hours, minutes % 60, seconds % 60, hundredths % 100);
}

}  // namespace

std::string io_size(double bytes) {
  static constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < std::size(kUnits); ++unit) bytes /= 1024;
  std::string number = unit == 0 ? fmt::format("{:.6f}", bytes) : fmt::format("{:.3f}", bytes);
  if (const size_t whole = number.find(".000"); whole != std::string::npos) number.resize(whole);
  return number + " " + kUnits[unit];
}

std::string io_report(const IoDone& done, bool for_machines) {
  const double seconds = std::max(1e-9, std::chrono::duration<double>(done.time).count());
  const double rate = static_cast<double>(done.bytes) / seconds;
  const std::string time = io_time(done.time, for_machines);
  if (for_machines)
    return fmt::format("{},1,{},{:.3f},{:.3f}\n", done.bytes, time, rate, 1 / seconds);
  return fmt::format("{} {}/{} bytes at offset {}\n{}, 1 ops; {} ({}/sec and {:.4f} ops/sec)\n",
                     done.what, done.bytes, done.bytes, done.offset,
                     io_size(static_cast<double>(done.bytes)), time, io_size(rate), 1 / seconds);
}

std::string io_dump(std::span<const std::byte> bytes, uint64_t offset) {
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += 16) {
    const auto line = bytes.subspan(at, std::min<size_t>(16, bytes.size() - at));
    text += fmt::format("{:08x}:  ", offset + at);
    for (const std::byte byte : line) text += fmt::format("{:02x} ", std::to_integer<int>(byte));
    text += ' ';
    for (const std::byte byte : line) {
      const int c = std::to_integer<int>(byte);
      text += c < 128 && std::isalnum(c) ? static_cast<char>(c) : '.';
    }
    text += '\n';
  }
  return text;
}

std::vector<std::string> split_words(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

IoWords parse_words(const std::string& name, std::span<const std::string> words,
                    const std::string& known) {
  IoWords parsed;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      parsed.rest.insert(parsed.rest.end(), words.begin() + static_cast<ptrdiff_t>(i) + 1,
                         words.end());
      break;
    }
    if (word.size() < 2 || word[0] != '-') {
      parsed.rest.push_back(word);
      continue;
    }
    for (size_t at = 1; at < word.size(); ++at) {  // letters may stand together: -qz
      const size_t found = word[at] == ':' ? std::string::npos : known.find(word[at]);
      if (found == std::string::npos)
        throw IoError(fmt::format("{}: invalid option -- '{}'", name, word[at]));
      std::string& value = parsed.options[word[at]];
      if (found + 1 == known.size() || known[found + 1] != ':') continue;
      value = word.substr(at + 1);
      if (value.empty() && ++i == words.size())
        throw IoError(fmt::format("{}: option requires an argument -- '{}'", name, word[at]));
      if (value.empty()) value = words[i];
      break;
    }
  }
  return parsed;
}

uint64_t io_number(const std::string& text) {
  try {
    const uint64_t number = parse_size("", text);
    if (number >> 63 == 0) return number;
  } catch (const ConfigError&) {
    throw IoError("Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- " +
                  text);
  }
  throw IoError("Parsing error: argument too large -- " + text);
}

uint64_t io_length(const std::string& text) {
  const uint64_t length = io_number(text);
  if (length > kMaxLength)
    throw IoError(fmt::format("length cannot exceed {}, given {}", kMaxLength, text));
  return length;
}

std::byte io_pattern(const std::string& text) {
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  const char* const first = text.data() + (hex ? 2 : 0);
  const char* const last = text.data() + text.size();
  unsigned value = 0;
  const auto result = std::from_chars(first, last, value, hex ? 16 : 10);
  if (result.ec != std::errc{} || result.ptr != last || value > 255)
    throw IoError(text + " is not a valid pattern byte");
  return static_cast<std::byte>(value);
}

}  // namespace vireo::cli
