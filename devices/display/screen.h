// What a viewer needs of a guest's screen, and what a guest gets from a viewer: the seam between
// the protocols in this folder, which know no virtual machine, and the devices that know no
// protocol.
//
// Beneath this folder lie the copy of the screen and what changed of it (picture), the keys and
// pointers of several viewers (input), the protocol of viewers (rfb), that of browsers (web), and a
// viewer of our own (client). The folder itself has the server and the connections it accepts.
//
// Thread: all calls on the loop of the display.
// Pixels are 32 bits, little-endian, 0x00RRGGBB; the top byte is noise. Coordinates start at the
// upper left; sizes and places are in pixels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vireo::display {

struct Size {
  uint16_t width = 0;   // 1…8192
  uint16_t height = 0;  // 1…8192
  bool operator==(const Size&) const = default;
};

struct Rect {
  uint16_t x = 0, y = 0, width = 0, height = 0;
  bool operator==(const Rect&) const = default;
};

// Rows [first, first + count).
struct Rows {
  uint16_t first = 0, count = 0;
  bool operator==(const Rows&) const = default;
};

class Screen {
 public:
  virtual ~Screen() = default;
  virtual Size size() const = 0;
  // One row: size().width * 4 bytes. The guest may write it at any time: whoever decides or
  // compresses by it works on a copy.
  virtual std::span<const std::byte> row(uint16_t y) const = 0;
  // The rows that may have changed since the last call, in order and apart; all rows at the first
  // call. Never fewer than have changed, perhaps more. Costs a system call: only while somebody
  // looks.
  virtual std::vector<Rows> take_changes() = 0;
};

class Input {
 public:
  // Bits of `buttons`, as in RFB's PointerEvent (RFC 6143, 7.5.5).
  enum Button : uint8_t {
    kLeft = 0x01,
    kMiddle = 0x02,
    kRight = 0x04,
    kWheelUp = 0x08,
    kWheelDown = 0x10,
    kWheelLeft = 0x20,
    kWheelRight = 0x40
  };

  virtual ~Input() = default;
  // `code` is KEY_* of <linux/input-event-codes.h>. A repeated press is an autorepeat; a release of
  // what is not pressed is ignored.
  virtual void key(uint16_t code, bool pressed) = 0;
  // Where the pointer is on the screen (within size()), and which buttons are held.
  virtual void pointer(uint16_t x, uint16_t y, uint8_t buttons) = 0;
};

}  // namespace vireo::display
