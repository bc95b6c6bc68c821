// A virtio-input keyboard with every key that Linux has a number below 249 for. It repeats no keys:
// the guest does that by itself.
//
// Thread: its loop.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "devices/keyboard.h"
#include "devices/virtio/input.h"

namespace vireo::dev {

class InputKeyboard final : public InputDevice, public Keyboard {
 public:
  InputKeyboard(std::string name, VirtioEnv env, State state = {});

  bool listens() const override { return driver_is_up(); }
  bool key(uint16_t key, bool pressed) override;
  void release_all_but(const std::set<uint16_t>& held) override;
};

}  // namespace vireo::dev
