#include "vmm/base/parse.h"

#include <charconv>
#include <cstdlib>
#include <optional>

#include <fmt/format.h>

#include "vmm/base/error.h"

namespace vireo {

namespace {

std::optional<double> multiplier(std::string_view suffix) {
  if (suffix.empty()) return 1;
  if (suffix.size() != 1) return std::nullopt;
  constexpr std::string_view kSuffixes = "bkmgtpe";
  const auto lower = static_cast<char>(suffix[0] | 0x20);
  const size_t power = kSuffixes.find(lower);
  if (power == std::string_view::npos) return std::nullopt;
  return static_cast<double>(1ULL << 10 * power);
}

std::optional<uint64_t> decimal(std::string_view text) {
  uint64_t value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (error != std::errc() || end != last) return std::nullopt;
  return value;
}

// "0x200", which takes no suffix.
std::optional<uint64_t> hexadecimal(std::string_view text) {
  if (!text.starts_with("0x") && !text.starts_with("0X")) return std::nullopt;
  uint64_t value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data() + 2, last, value, 16);
  if (error != std::errc() || end != last) return std::nullopt;
  return value;
}

}  // namespace

uint64_t parse_size(std::string_view option, std::string_view text) {
  constexpr double kLimit = 9.223372036854775e18;  // below 2^63, so that it fits a file offset, too
  if (const auto hex = hexadecimal(text); hex && static_cast<double>(*hex) < kLimit) return *hex;
  // strtod, not from_chars, for which libstdc++ would load the maths library at every start.
  const std::string digits(text.substr(0, text.find_first_not_of("0123456789.")));
  char* end = nullptr;
  const double number = std::strtod(digits.c_str(), &end);
  const auto factor = multiplier(text.substr(digits.size()));
  const double bytes = number * factor.value_or(0);
  if (digits.empty() || *end != '\0' || !factor || bytes > kLimit)
    throw ConfigError(
        fmt::format("{}: '{}' is not a size: write bytes, or a number with k, M, G, T, P or E, "
                    "such as 512M or 4G",
                    option, text));
  const auto whole = static_cast<uint64_t>(bytes);
  if (static_cast<double>(whole) != bytes)
    throw ConfigError(fmt::format("{}: '{}' is not a whole number of bytes", option, text));
  return whole;
}

std::string size_text(uint64_t bytes) {
  constexpr std::string_view kSuffixes = "kMGTPE";
  size_t power = 0;
  for (; bytes != 0 && bytes % 1024 == 0 && power < kSuffixes.size(); ++power) bytes /= 1024;
  return fmt::format(
      "{}{}", bytes,
      kSuffixes.substr(power == 0 ? kSuffixes.size() : power - 1, power == 0 ? 0 : 1));
}

std::pair<uint32_t, uint32_t> parse_owner(std::string_view option, std::string_view text) {
  constexpr uint32_t kNobody = ~uint32_t{0};  // what chown() takes for "as it is"
  uint32_t uid = kNobody, gid = kNobody;
  const char* const end = text.data() + text.size();
  const auto user = std::from_chars(text.data(), end, uid);
  const bool colon = user.ec == std::errc() && user.ptr != end && *user.ptr == ':';
  const auto group = std::from_chars(colon ? user.ptr + 1 : end, end, gid);
  if (!colon || group.ec != std::errc() || group.ptr != end || uid == kNobody || gid == kNobody)
    throw ConfigError(
        fmt::format("{}: '{}' is not UID:GID: write two numbers, such as 1000:1000", option, text));
  return {uid, gid};
}

uint64_t parse_number(std::string_view option, std::string_view text, uint64_t least,
                      uint64_t most) {
  const auto number = decimal(text);
  if (!number || *number < least || *number > most)
    throw ConfigError(
        fmt::format("{}: '{}' is not a number from {} to {}", option, text, least, most));
  return *number;
}

}  // namespace vireo
