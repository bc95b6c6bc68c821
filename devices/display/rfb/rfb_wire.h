// The messages of RFB (RFC 6143, and the community's list of extensions) as they lie on the wire,
// and what of a viewer's is understood.
//
// Values; any thread. All integers are big-endian. Nothing is read beyond what came, and what a
// viewer announces is bounded before anything is done with it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "devices/display/input/viewer_events.h"
#include "devices/display/screen.h"
#include "vmm/base/bytes.h"

namespace vireo::display {

constexpr std::string_view kProtocol = "RFB 003.008\n";

enum class Version : uint8_t { v3_3, v3_7, v3_8 };
// From a viewer's twelve bytes; whoever says 3.x with another x means 3.3 (7.1.1). Nothing: this is
// no viewer.
std::optional<Version> parse_version(std::span<const std::byte> line) noexcept;

namespace security {
constexpr uint8_t kInvalid = 0, kNone = 1, kVnc = 2, kVencrypt = 19;
constexpr uint32_t kX509None = 260, kX509Vnc = 261;  // VeNCrypt 0.2
}  // namespace security

namespace encoding {
constexpr int32_t kRaw = 0, kCopyRect = 1, kHextile = 5, kTight = 7, kZrle = 16;
constexpr int32_t kDesktopSize = -223, kLastRect = -224, kCursor = -239;
constexpr int32_t kExtendedKey = -258, kExtendedDesktopSize = -308, kXvp = -309;
constexpr int32_t kCompressLevel0 = -256, kCompressLevel9 = -247;
}  // namespace encoding

namespace from_server {
constexpr uint8_t kUpdate = 0, kColourMap = 1, kXvp = 250;
}

struct WirePixelFormat {
  uint8_t bits_per_pixel = 0, depth = 0, big_endian = 0, true_colour = 0;
  be16 red_max{}, green_max{}, blue_max{};
  uint8_t red_shift = 0, green_shift = 0, blue_shift = 0;
  uint8_t padding[3] = {};
};
static_assert(sizeof(WirePixelFormat) == 16);

struct WireServerInit {  // the name follows
  be16 width{}, height{};
  WirePixelFormat format{};
  be32 name_length{};
};

struct WireRect {
  be16 x{}, y{}, width{}, height{};
  be32 encoding{};
};
void put_rect(ByteWriter& out, const Rect& rect, int32_t encoding);

// --- what viewers send, besides KeyEvent and PointerEvent ---

struct SetPixelFormat {
  WirePixelFormat format;
};
struct SetEncodings {
  std::vector<int32_t> encodings;
};
struct UpdateRequest {
  bool incremental;
  Rect rect;
};
struct CutText {
  uint32_t length;  // bytes of the text, which follows: however many, nobody keeps them
};
struct SetDesktopSize {};
struct XvpRequest {
  enum class Code : uint8_t { shutdown = 2, reboot = 3, reset = 4 } code;
};
using ViewerMessage = std::variant<SetPixelFormat, SetEncodings, UpdateRequest, KeyEvent,
                                   PointerEvent, CutText, SetDesktopSize, XvpRequest>;

constexpr size_t kMaxEncodings = 1024;
// The longest message, without a CutText's text.
constexpr size_t kMaxMessage = 4 + 4 * kMaxEncodings;

struct ParsedMessage {
  enum class Status : uint8_t { complete, incomplete, invalid } status;
  size_t length = 0;  // if complete
  ViewerMessage message = SetDesktopSize{};
};
// The message at the beginning of what has come. Incomplete is one only while less than
// kMaxMessage has come.
ParsedMessage parse_message(std::span<const std::byte> bytes);

}  // namespace vireo::display
