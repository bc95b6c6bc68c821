#include "devices/display/rfb/rfb_wire.h"

#include <array>
#include <cstring>

namespace vireo::display {

namespace {

using Status = ParsedMessage::Status;

struct WireSetPixelFormat {
  uint8_t type = 0, padding[3] = {};
  WirePixelFormat format{};
};
struct WireSetEncodings {
  uint8_t type = 0, padding = 0;
  be16 count{};
};
struct WireUpdateRequest {
  uint8_t type = 0, incremental = 0;
  be16 x{}, y{}, width{}, height{};
};
struct WireKeyEvent {
  uint8_t type = 0, pressed = 0;
  be16 padding{};
  be32 keysym{};
};
struct WirePointerEvent {
  uint8_t type = 0, buttons = 0;
  be16 x{}, y{};
};
struct WireCutText {
  uint8_t type = 0, padding[3] = {};
  be32 length{};
};
struct WireXvp {
  uint8_t type = 0, padding = 0, version = 0, code = 0;
};
struct WireSetDesktopSize {
  uint8_t type = 0, padding = 0;
  be16 width{}, height{};
  uint8_t screens = 0, padding_2 = 0;
};
struct WireExtendedKeyEvent {
  uint8_t type = 0, subtype = 0;
  be16 pressed{};
  be32 keysym{}, scancode{};
};
constexpr size_t kWireScreen = 16;

ParsedMessage complete(size_t length, ViewerMessage message) {
  return {.status = Status::complete, .length = length, .message = std::move(message)};
}
constexpr Status kIncomplete = Status::incomplete;
constexpr Status kInvalid = Status::invalid;

ParsedMessage parse(ByteReader& in, const WireSetPixelFormat& wire) {
  return in.ok() ? complete(sizeof(wire), SetPixelFormat{wire.format})
                 : ParsedMessage{.status = kIncomplete};
}

ParsedMessage parse(ByteReader& in, const WireSetEncodings& wire) {
  const size_t count = wire.count;
  if (count > kMaxEncodings) return {.status = kInvalid};
  const auto list = in.take(count * sizeof(be32));
  if (!in.ok()) return {.status = kIncomplete};
  SetEncodings message;
  ByteReader numbers(list);
  for (size_t i = 0; i < count; ++i)
    message.encodings.push_back(static_cast<int32_t>(uint32_t{numbers.get<be32>()}));
  return complete(sizeof(wire) + list.size(), std::move(message));
}

ParsedMessage parse(ByteReader& in, const WireUpdateRequest& wire) {
  if (!in.ok()) return {.status = kIncomplete};
  return complete(
      sizeof(wire),
      UpdateRequest{
          .incremental = wire.incremental != 0,
          .rect = {.x = wire.x, .y = wire.y, .width = wire.width, .height = wire.height}});
}

ParsedMessage parse(ByteReader& in, const WireKeyEvent& wire) {
  if (!in.ok()) return {.status = kIncomplete};
  return complete(sizeof(wire),
                  KeyEvent{.pressed = wire.pressed != 0, .keysym = wire.keysym, .scancode = 0});
}

ParsedMessage parse(ByteReader& in, const WirePointerEvent& wire) {
  if (!in.ok()) return {.status = kIncomplete};
  return complete(sizeof(wire), PointerEvent{.buttons = wire.buttons, .x = wire.x, .y = wire.y});
}

// A negative length is the extended clipboard's (its message has as many bytes as its absolute
// value says): no viewer was offered that, but one that sends it all the same means no harm.
ParsedMessage parse(ByteReader& in, const WireCutText& wire) {
  constexpr uint32_t kNegative = uint32_t{1} << 31;
  if (!in.ok()) return {.status = kIncomplete};
  const uint32_t length = wire.length;
  return complete(sizeof(wire), CutText{(length & kNegative) != 0 ? 0 - length : length});
}

ParsedMessage parse(ByteReader& in, const WireXvp& wire) {
  using Code = XvpRequest::Code;
  if (!in.ok()) return {.status = kIncomplete};
  const Code code{wire.code};
  if (wire.version != 1 || (code != Code::shutdown && code != Code::reboot && code != Code::reset))
    return {.status = kInvalid};
  return complete(sizeof(wire), XvpRequest{code});
}

ParsedMessage parse(ByteReader& in, const WireSetDesktopSize& wire) {
  const size_t screens = wire.screens * kWireScreen;
  in.take(screens);
  return in.ok() ? complete(sizeof(wire) + screens, SetDesktopSize{})
                 : ParsedMessage{.status = kIncomplete};
}

ParsedMessage parse(ByteReader& in, const WireExtendedKeyEvent& wire) {
  if (wire.subtype != 0) return {.status = kInvalid};
  if (!in.ok()) return {.status = kIncomplete};
  return complete(
      sizeof(wire),
      KeyEvent{.pressed = wire.pressed != 0, .keysym = wire.keysym, .scancode = wire.scancode});
}

template <class T>
ParsedMessage parse_as(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  const T wire = in.get<T>();
  return parse(in, wire);
}

}  // namespace

std::optional<Version> parse_version(std::span<const std::byte> line) noexcept {
  if (line.size() != kProtocol.size()) return std::nullopt;
  std::array<char, kProtocol.size()> text;
  std::memcpy(text.data(), line.data(), text.size());
  const std::string_view version(text.data(), text.size());
  if (!version.starts_with("RFB 003.") || version.back() != '\n') return std::nullopt;
  const std::string_view minor = version.substr(8, 3);
  if (minor.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  if (minor == "007") return Version::v3_7;
  return minor == "008" ? Version::v3_8 : Version::v3_3;
}

void put_rect(ByteWriter& out, const Rect& rect, int32_t encoding) {
  out.put(WireRect{.x = rect.x,
                   .y = rect.y,
                   .width = rect.width,
                   .height = rect.height,
                   .encoding = static_cast<uint32_t>(encoding)});
}

ParsedMessage parse_message(std::span<const std::byte> bytes) {
  if (bytes.empty()) return {.status = kIncomplete};
  switch (std::to_integer<uint8_t>(bytes.front())) {
    case 0:
      return parse_as<WireSetPixelFormat>(bytes);
    case 2:
      return parse_as<WireSetEncodings>(bytes);
    case 3:
      return parse_as<WireUpdateRequest>(bytes);
    case 4:
      return parse_as<WireKeyEvent>(bytes);
    case 5:
      return parse_as<WirePointerEvent>(bytes);
    case 6:
      return parse_as<WireCutText>(bytes);
    case 250:
      return parse_as<WireXvp>(bytes);
    case 251:
      return parse_as<WireSetDesktopSize>(bytes);
    case 255:
      return parse_as<WireExtendedKeyEvent>(bytes);
    default:
      return {.status = kInvalid};
  }
}

}  // namespace vireo::display
