// One connection of a browser: files over HTTP, until it becomes the WebSocket of a viewer.
//
// Thread: the loop's. Keeps one request and one file.
#pragma once

#include <chrono>
#include <memory>

#include "devices/display/byte_stream.h"
#include "devices/display/rfb/rfb_session.h"
#include "devices/display/tls.h"
#include "devices/display/web/http.h"
#include "devices/display/web/website.h"

namespace vireo::display {

class WebConnection {
 public:
  struct Config {
    const Website& website;
    const TlsCredentials* tls;  // https
    bool has_password;          // RFB asks for one
    // How long a browser may take for its first request, and for an answer or between two requests.
    static constexpr std::chrono::seconds kGreetingTime{5}, kIdle{30};
  };

  // `session` is the viewer's, if it becomes one.
  WebConnection(EventLoop& loop, const Config& config, RfbSession& session)
      : loop_(loop), config_(config), session_(session) {}
  WebConnection(const WebConnection&) = delete;
  WebConnection& operator=(const WebConnection&) = delete;

  // Until the browser is gone.
  Task<void> run(std::unique_ptr<SocketStream> socket);
  // In a later turn of the loop; the session is closed by its owner.
  void close() noexcept;

 private:
  void expect_within(std::chrono::seconds time);
  Task<void> serve_requests();
  Task<std::optional<HttpRequest>> next_request();
  Task<bool> answer(HttpRequest request);
  Task<bool> send_file(HttpRequest request);
  Task<bool> refuse(std::string_view status);
  Task<bool> become_viewer(HttpRequest request);

  EventLoop& loop_;
  const Config& config_;
  RfbSession& session_;
  std::unique_ptr<SocketStream> socket_;
  std::unique_ptr<TlsStream> tls_;
  ByteStream* stream_ = nullptr;
  std::optional<InputBuffer> in_;
  EventLoop::Registration deadline_;
};

}  // namespace vireo::display
