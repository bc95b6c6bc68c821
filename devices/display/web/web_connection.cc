#include "devices/display/web/web_connection.h"

#include <array>
#include <utility>

#include <fmt/core.h>

#include "devices/display/web/websocket.h"
#include "vmm/base/bytes.h"

namespace vireo::display {

namespace {

// Our page's, and the one that noVNC and websockify expect if nobody says otherwise.
constexpr std::string_view kWebSocketPath = "/websocket", kWebsockifyPath = "/websockify";

// Nothing but our own files runs in the page, and no other page shows it.
std::vector<std::string> file_headers() {
  return {"Cache-Control: no-cache", "X-Content-Type-Options: nosniff",
          "Content-Security-Policy: default-src 'self'; img-src 'self' data: blob:; "
          "style-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss:; frame-ancestors 'none'"};
}

}  // namespace

void WebConnection::close() noexcept {
  if (stream_ != nullptr) stream_->close();
}

Task<void> WebConnection::run(std::unique_ptr<SocketStream> socket) {
  socket_ = std::move(socket);
  stream_ = socket_.get();
  expect_within(config_.kGreetingTime);
  bool good = true;
  if (config_.tls != nullptr) {
    tls_ = config_.tls->wrap(std::move(socket_));
    stream_ = tls_.get();
    good = co_await tls_->handshake();
  }
  in_.emplace(*stream_, kMaxRequest);
  if (good) co_await serve_requests();
  deadline_.reset();
  close();
}

Task<void> WebConnection::serve_requests() {
  for (;;) {
    std::optional<HttpRequest> request = co_await next_request();
    if (!request) co_return;
    expect_within(config_.kIdle);
    const bool more = co_await answer(std::move(*request));
    if (!more) co_return;
    expect_within(config_.kIdle);
  }
}

void WebConnection::expect_within(std::chrono::seconds time) {
  deadline_ = loop_.after(time, [this] { close(); });
}

Task<std::optional<HttpRequest>> WebConnection::next_request() {
  for (;;) {
    ParsedRequest parsed = parse_request(in_->bytes());
    if (parsed.status == ParsedRequest::Status::complete) {
      in_->consume(parsed.length);
      co_return std::move(parsed.request);
    }
    if (parsed.status == ParsedRequest::Status::invalid) {
      co_await refuse("400 Bad Request");
      co_return std::nullopt;
    }
    const bool more = co_await in_->more();
    if (!more) co_return std::nullopt;
  }
}

// True when another request may follow.
Task<bool> WebConnection::answer(HttpRequest request) {
  if (!is_from_us(request, config_.has_password)) {
    co_await refuse("403 Forbidden");
    co_return false;
  }
  if (request.path == kWebSocketPath || request.path == kWebsockifyPath)
    co_return co_await become_viewer(std::move(request));
  if (request.method != "GET" && request.method != "HEAD")
    co_return co_await refuse("405 Method Not Allowed");
  co_return co_await send_file(std::move(request));
}

Task<bool> WebConnection::refuse(std::string_view status) {
  const std::string text = fmt::format("{}\n", status);
  const std::string answer = response_head(status, "text/plain; charset=utf-8", text.size()) + text;
  const auto bytes = bytes_of_text(answer);
  co_return co_await stream_->write(bytes);
}

Task<bool> WebConnection::send_file(HttpRequest request) {
  const std::optional<WebFile> file = config_.website.find(request.path);
  if (!file) co_return co_await refuse("404 Not Found");
  const auto headers = file_headers();
  const std::string head = response_head("200 OK", file->type, file->content.size(), headers);
  const auto head_bytes = bytes_of_text(head), content = bytes_of_text(file->content);
  bool sent = co_await stream_->write(head_bytes);
  if (sent && request.method != "HEAD") sent = co_await stream_->write(content);
  co_return sent&& request.keeps_connection();
}

Task<bool> WebConnection::become_viewer(HttpRequest request) {
  const std::optional<std::string> accepted = websocket_answer(request);
  if (!accepted) co_return co_await refuse("400 Bad Request");
  const auto bytes = bytes_of_text(*accepted);
  const bool sent = co_await stream_->write(bytes);
  if (!sent) co_return false;
  deadline_.reset();
  WebSocketStream socket(*stream_, *in_);
  co_await session_.run(socket);
  co_return false;
}

}  // namespace vireo::display
