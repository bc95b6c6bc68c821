// Hands what viewers of the screen type and point at to the guest: to the virtio devices while
// their drivers are at work, else to the PS/2 ones, which every kernel has drivers for.
//
// Thread: its home loop, which is that of the virtio devices, too.
// What the guest believes to be pressed is the devices' matter; what viewers hold is kept here,
// also while the machine is paused, and the devices are told of what was let go when it goes on.
// Keys that a keyboard has no room for (a PS/2 keyboard that the guest has not spoken to yet keeps
// few, one that it has switched off none) wait here, in order and within bounds, and are tried
// again after a pause. The pause is longer than a guest takes that only empties the controller, and
// grows while the guest takes nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <set>

#include "devices/display/screen.h"
#include "devices/legacy/i8042.h"
#include "devices/virtio/input_keyboard.h"
#include "devices/virtio/input_tablet.h"
#include "vmm/base/event_loop.h"
#include "vmm/service.h"

namespace vireo::dev {

class GuestInput final : public Service, public display::Input {
 public:
  // All outlive it.
  struct Devices {
    I8042& ps2;
    InputKeyboard& keyboard;
    InputTablet& tablet;
  };
  GuestInput(EventLoop& loop, Devices devices, display::Size screen);

  void key(uint16_t code, bool pressed) override;
  void pointer(uint16_t x, uint16_t y, uint8_t buttons) override;

  void start() override;
  Task<void> stop() override;

 private:
  struct Point {
    uint16_t x = 0, y = 0;
  };
  // Linux takes 1.6 ms to empty a controller, and gives up one that is not empty by then.
  static constexpr std::chrono::milliseconds kFirstPause{10}, kLastPause{500};

  struct Stroke {
    uint16_t key;
    bool pressed;
  };
  bool may_press(uint16_t code) const;
  void deliver();
  bool give(const Stroke& stroke);
  void move_mouse(Point to, uint8_t buttons, InputTablet::Wheels wheels);

  EventLoop& loop_;
  const Devices devices_;
  const display::Size screen_;
  std::set<uint16_t> held_;     // keys
  std::deque<Stroke> waiting_;  // for room in a keyboard
  std::chrono::milliseconds pause_ = kFirstPause;
  bool running_ = false;
  EventLoop::Registration again_;  // deliver(), after the pause
  uint8_t buttons_ = 0;            // of display::Input
  Point at_{};
};

}  // namespace vireo::dev
