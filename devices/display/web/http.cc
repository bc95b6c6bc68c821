#include "devices/display/web/http.h"

#include <algorithm>
#include <cctype>

#include <arpa/inet.h>
#include <fmt/core.h>

namespace vireo::display {

namespace {

constexpr size_t kMostHeaders = 64;

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// What stands before `separator`, which goes with it; all, when there is none.
std::string_view take_until(std::string_view& text, std::string_view separator) {
  const size_t at = text.find(separator);
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + separator.size());
  return taken;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> decoded(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      result += text[i];
      continue;
    }
    if (i + 2 >= text.size() || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0)
      return std::nullopt;
    result += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
    i += 2;
  }
  return result;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) ||
           std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool parse_first_line(std::string_view line, HttpRequest& request) {
  request.method = take_until(line, " ");
  std::string_view target = take_until(line, " ");
  if (!is_token(request.method) || (line != "HTTP/1.1" && line != "HTTP/1.0")) return false;
  if (!target.starts_with('/')) return false;
  const auto path = decoded(take_until(target, "?"));
  if (!path || path->find('\0') != std::string::npos) return false;
  request.path = *path;
  return true;
}

bool parse_header(std::string_view line, HttpRequest& request) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return false;
  if (request.headers.size() == kMostHeaders) return false;
  // What is said twice could be read in two ways.
  return request.headers.try_emplace(lower(line.substr(0, colon)), trimmed(line.substr(colon + 1)))
      .second;
}

// The host of "host", "host:port", "[v6]:port".
std::string_view host_of(std::string_view authority) {
  if (authority.starts_with('[')) return authority.substr(1, authority.find(']') - 1);
  return authority.substr(0, authority.find(':'));
}

bool is_address_or_localhost(std::string_view host) {
  in6_addr address{};
  const std::string name(host);
  return lower(host) == "localhost" || ::inet_pton(AF_INET, name.c_str(), &address) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), &address) == 1;
}

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  const auto found = headers.find(std::string(name));
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

bool HttpRequest::header_has(std::string_view name, std::string_view word) const {
  for (std::string_view rest = header(name); !rest.empty();)
    if (lower(trimmed(take_until(rest, ","))) == word) return true;
  return false;
}

ParsedRequest parse_request(std::span<const std::byte> bytes) {
  using Status = ParsedRequest::Status;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const size_t end = text.substr(0, kMaxRequest).find("\r\n\r\n");
  if (end == std::string_view::npos)
    return {.status = text.size() >= kMaxRequest ? Status::invalid : Status::incomplete};
  ParsedRequest parsed{.status = Status::complete, .length = end + 4};
  std::string_view rest = text.substr(0, end);
  bool good = parse_first_line(take_until(rest, "\r\n"), parsed.request);
  while (good && !rest.empty()) good = parse_header(take_until(rest, "\r\n"), parsed.request);
  const bool has_body = parsed.request.headers.contains("transfer-encoding") ||
                        (!parsed.request.header("content-length").empty() &&
                         parsed.request.header("content-length") != "0");
  if (!good || has_body) return {.status = Status::invalid};
  return parsed;
}

bool is_from_us(const HttpRequest& request, bool has_password) {
  const std::string_view host = request.header("host");
  if (!has_password && !is_address_or_localhost(host_of(host))) return false;
  std::string_view origin = request.header("origin");
  if (origin.empty()) return true;  // no browser's page
  take_until(origin, "://");
  return lower(origin) == lower(host);
}

std::string response_head(std::string_view status, std::string_view type, size_t length,
                          std::span<const std::string> headers) {
  std::string head = fmt::format("HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
                                 status, type, length);
  for (const std::string& header : headers) head += header + "\r\n";
  return head + "\r\n";
}

}  // namespace vireo::display
