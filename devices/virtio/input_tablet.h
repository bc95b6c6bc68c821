// A virtio-input tablet: a pointer that is where it is, with three buttons and wheels.
//
// Thread: its loop.
#pragma once

#include <cstdint>
#include <string>

#include "devices/virtio/input.h"

namespace vireo::dev {

class InputTablet final : public InputDevice {
 public:
  static constexpr uint32_t kRange = 32767;  // of both axes, from the upper left on
  enum Button : uint8_t { kLeft = 1, kRight = 2, kMiddle = 4 };
  struct Position {
    uint32_t x = 0, y = 0;  // 0…kRange
  };
  // Notches since the last call: away from the user, to the right.
  struct Wheels {
    int32_t vertical = 0, horizontal = 0;
  };

  InputTablet(std::string name, VirtioEnv env, State state = {});

  // A driver is at work; not while the machine is paused. What is done otherwise is lost.
  bool listens() const { return driver_is_up(); }
  // `buttons`: those that are held now. When the driver is slow, positions in between are left out,
  // then presses and wheels; never releases.
  void point(Position position, uint8_t buttons, Wheels wheels);
  void release_all_but(uint8_t buttons);
};

}  // namespace vireo::dev
