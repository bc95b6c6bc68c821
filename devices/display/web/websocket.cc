#include "devices/display/web/websocket.h"

#include <algorithm>
#include <cstring>

#include <fmt/core.h>
#include <nettle/base64.h>
#include <nettle/sha1.h>

#include "vmm/base/bytes.h"

namespace vireo::display {

namespace {

using Status = ParsedFrame::Status;
using Opcode = WebSocketFrame::Opcode;

constexpr uint8_t kFinal = 0x80, kMasked = 0x80, kReserved = 0x70;
constexpr size_t kMostControl = 125;
constexpr size_t kMostFrame = 64 << 10;
constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr size_t kKeyLength = 24;  // 16 bytes in base64

constexpr bool known(uint8_t opcode) noexcept {
  return opcode <= Opcode::kBinary || (opcode >= Opcode::kClose && opcode <= Opcode::kPong);
}

// RFC 6455, 4.2.2.
std::string accept_key(std::string_view key) {
  const std::string text = std::string(key) + std::string(kGuid);
  sha1_ctx sha1;
  ::sha1_init(&sha1);
  ::sha1_update(&sha1, text.size(), reinterpret_cast<const uint8_t*>(text.data()));
  std::array<uint8_t, SHA1_DIGEST_SIZE> digest;
  ::sha1_digest(&sha1, digest.size(), digest.data());
  std::array<char, BASE64_ENCODE_RAW_LENGTH(SHA1_DIGEST_SIZE)> encoded;
  ::base64_encode_raw(encoded.data(), digest.size(), digest.data());
  return {encoded.begin(), encoded.end()};
}

}  // namespace

ParsedFrame parse_frame(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  const auto first = in.get<uint8_t>();
  const auto second = in.get<uint8_t>();
  if (!in.ok()) return {.status = Status::incomplete};
  const auto opcode = static_cast<uint8_t>(first & 0x0f);
  // Clients must mask (5.1), and no extension was agreed on.
  if ((first & kReserved) != 0 || !known(opcode) || (second & kMasked) == 0)
    return {.status = Status::invalid};
  uint64_t length = second & 0x7f;
  if (length == 126)
    length = in.get<be16>();
  else if (length == 127)
    length = in.get<be64>();
  const auto mask = in.get<std::array<uint8_t, 4>>();
  if (!in.ok()) return {.status = Status::incomplete};
  const WebSocketFrame frame{
      .final = (first & kFinal) != 0, .opcode = Opcode{opcode}, .length = length, .mask = mask};
  if (length >> 63 != 0 || (frame.is_control() && (!frame.final || length > kMostControl)))
    return {.status = Status::invalid};
  return {.status = Status::complete, .length = bytes.size() - in.rest().size(), .frame = frame};
}

std::vector<std::byte> frame_header(Opcode opcode, size_t length) {
  ByteWriter out;
  out.put(static_cast<uint8_t>(kFinal | opcode));
  if (length <= kMostControl) {
    out.put(static_cast<uint8_t>(length));
  } else if (length <= 0xffff) {
    out.put(uint8_t{126});
    out.put(be16(static_cast<uint16_t>(length)));
  } else {
    out.put(uint8_t{127});
    out.put(be64(length));
  }
  return out.take();
}

std::optional<std::string> websocket_answer(const HttpRequest& request) {
  const std::string_view key = request.header("sec-websocket-key");
  if (request.method != "GET" || !request.header_has("upgrade", "websocket") ||
      !request.header_has("connection", "upgrade") ||
      request.header("sec-websocket-version") != "13" || key.size() != kKeyLength)
    return std::nullopt;
  const bool binary = request.header_has("sec-websocket-protocol", "binary");
  return fmt::format(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: {}\r\n{}\r\n",
      accept_key(key), binary ? "Sec-WebSocket-Protocol: binary\r\n" : "");
}

size_t WebSocketStream::take_payload(std::span<std::byte> into) noexcept {
  const auto bytes = input_.bytes();
  const size_t count = std::min<uint64_t>({bytes.size(), into.size(), left_});
  for (size_t i = 0; i < count; ++i)
    into[i] = bytes[i] ^ std::byte{frame_.mask[(mask_at_ + i) % 4]};
  mask_at_ = (mask_at_ + count) % 4;
  left_ -= count;
  input_.consume(count);
  return count;
}

Task<size_t> WebSocketStream::read(std::span<std::byte> into) {
  for (;;) {
    if (left_ == 0) {
      if (const bool good = co_await next_frame(); !good) co_return 0;
      continue;
    }
    if (const size_t got = take_payload(into); got > 0) co_return got;
    if (const bool got = co_await input_.more(); !got) co_return 0;
  }
}

// Up to a frame of the message; control frames before it are answered.
Task<bool> WebSocketStream::next_frame() {
  const ParsedFrame parsed = parse_frame(input_.bytes());
  if (parsed.status == Status::invalid) co_return false;
  if (parsed.status == Status::incomplete) co_return co_await input_.more();
  input_.consume(parsed.length);
  if (parsed.frame.is_control()) co_return co_await control_frame(parsed.frame);
  const bool goes_on = parsed.frame.opcode == Opcode::kContinuation;
  if (goes_on != in_message_ || parsed.frame.opcode == Opcode::kText) co_return false;
  in_message_ = !parsed.frame.final;
  frame_ = parsed.frame;
  left_ = frame_.length;
  mask_at_ = 0;
  co_return true;
}

Task<bool> WebSocketStream::control_frame(WebSocketFrame frame) {
  if (const bool got = co_await input_.have(frame.length); !got) co_return false;
  frame_ = frame;
  left_ = frame.length;
  mask_at_ = 0;
  std::array<std::byte, kMostControl> payload;
  const size_t length = take_payload(payload);
  const auto bytes = std::span<const std::byte>(payload).first(length);
  if (frame.opcode == Opcode::kPing) co_return co_await put_frame(Opcode::kPong, bytes);
  if (frame.opcode == Opcode::kPong) co_return true;
  co_await put_frame(Opcode::kClose, bytes.first(std::min<size_t>(length, 2)));
  co_return false;
}

Task<bool> WebSocketStream::put_frame(Opcode opcode, std::span<const std::byte> payload) {
  std::vector<std::byte> frame = frame_header(opcode, payload.size());
  frame.insert(frame.end(), payload.begin(), payload.end());
  const AsyncMutex::Guard guard = co_await writing_.lock();
  co_return co_await below_.write(frame);
}

Task<bool> WebSocketStream::write(std::span<const std::byte> from) {
  while (!from.empty()) {
    const auto part = from.first(std::min(from.size(), kMostFrame));
    from = from.subspan(part.size());
    if (const bool sent = co_await put_frame(Opcode::kBinary, part); !sent) co_return false;
  }
  co_return true;
}

}  // namespace vireo::display
