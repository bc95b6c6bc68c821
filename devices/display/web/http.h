// As much of HTTP/1.1 (RFC 9112) as a page of files and a WebSocket need: requests without a body.
//
// Pure; any thread. Requests are a peer's: bounded, and refused rather than guessed at.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace vireo::display {

struct HttpRequest {
  std::string method{};
  std::string path{};                            // decoded; without the query
  std::map<std::string, std::string> headers{};  // names in lower case, values trimmed

  // Empty when there is none.
  std::string_view header(std::string_view name) const;
  // Whether a header's list has the word, in whatever case.
  bool header_has(std::string_view name, std::string_view word) const;
  bool keeps_connection() const { return !header_has("connection", "close"); }
};

constexpr size_t kMaxRequest = 16 << 10;  // bytes

struct ParsedRequest {
  enum class Status : uint8_t { complete, incomplete, invalid } status;
  size_t length = 0;  // if complete
  HttpRequest request{};
};
ParsedRequest parse_request(std::span<const std::byte> bytes);

// Whether a request that comes from a page (it has an Origin) comes from ours. Any page in the
// user's browser can send requests here; without a password nothing else keeps it out, so the name
// we are called by must then be one that no stranger can let point to us: an address, or localhost.
bool is_from_us(const HttpRequest& request, bool has_password);

// "404 Not Found" and headers, each "Name: value"; Content-Length comes from `length`.
std::string response_head(std::string_view status, std::string_view type, size_t length,
                          std::span<const std::string> headers = {});

}  // namespace vireo::display
