// The server's side of a WebSocket (RFC 6455): a ByteStream in binary messages.
//
// Thread: the loop's. Keeps one buffer for reading and one for writing; frames of any length pass
// through them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "devices/display/byte_stream.h"
#include "devices/display/web/http.h"

namespace vireo::display {

// What a frame says before its payload (5.2).
struct WebSocketFrame {
  enum Opcode : uint8_t {
    kContinuation = 0,
    kText = 1,
    kBinary = 2,
    kClose = 8,
    kPing = 9,
    kPong = 10
  };
  bool final;
  Opcode opcode;
  uint64_t length;
  std::array<uint8_t, 4> mask;

  bool is_control() const noexcept { return opcode >= kClose; }
};
struct ParsedFrame {
  enum class Status : uint8_t { complete, incomplete, invalid } status;
  size_t length = 0;  // of the header, if complete; 14 at most
  WebSocketFrame frame{};
};
ParsedFrame parse_frame(std::span<const std::byte> bytes);
// Unmasked, as servers send them.
std::vector<std::byte> frame_header(WebSocketFrame::Opcode opcode, size_t length);

// The answer to the upgrade that a request asks for; nothing when it does not, or asks for what
// there is not.
std::optional<std::string> websocket_answer(const HttpRequest& request);

class WebSocketStream final : public ByteStream {
 public:
  // The answer has been sent; `input` has what came behind the request. Both outlive this.
  WebSocketStream(ByteStream& below, InputBuffer& input) : below_(below), input_(input) {}

  Task<size_t> read(std::span<std::byte> into) override;
  Task<bool> write(std::span<const std::byte> from) override;
  void close() noexcept override { below_.close(); }

 private:
  Task<bool> next_frame();
  Task<bool> control_frame(WebSocketFrame frame);
  Task<bool> put_frame(WebSocketFrame::Opcode opcode, std::span<const std::byte> payload);
  size_t take_payload(std::span<std::byte> into) noexcept;

  ByteStream& below_;
  InputBuffer& input_;
  WebSocketFrame frame_{};  // the one being read
  uint64_t left_ = 0;       // bytes of its payload
  size_t mask_at_ = 0;
  bool in_message_ = false;
  AsyncMutex writing_;  // a pong may be due in the middle of a message's frames
};

}  // namespace vireo::display
