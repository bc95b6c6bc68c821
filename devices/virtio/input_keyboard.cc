#include "devices/virtio/input_keyboard.h"

#include <linux/input-event-codes.h>

#include <numeric>
#include <utility>

namespace vireo::dev {

namespace {

constexpr uint16_t kLastKey = KEY_MICMUTE;

InputTraits traits() {
  std::vector<uint16_t> keys(kLastKey);
  std::iota(keys.begin(), keys.end(), uint16_t{KEY_ESC});
  return {.name = "Vireo Virtio Keyboard",
          .product = 1,
          .codes = {{EV_KEY, std::move(keys)},
                    {EV_REP, {REP_DELAY, REP_PERIOD}},
                    {EV_LED, {LED_NUML, LED_CAPSL, LED_SCROLLL}}}};
}

}  // namespace

InputKeyboard::InputKeyboard(std::string name, VirtioEnv env, State state)
    : InputDevice(std::move(name), std::move(env), traits(), std::move(state)) {}

bool InputKeyboard::key(uint16_t key, bool pressed) {
  if (!driver_is_up() || key == KEY_RESERVED || key > kLastKey || is_down(key) == pressed)
    return true;
  if (pressed && !has_room_for(1)) return false;
  report({change(key, pressed)});
  return true;
}

void InputKeyboard::release_all_but(const std::set<uint16_t>& held) {
  const std::vector<uint16_t> down = state().down;
  for (const uint16_t code : down)
    if (!held.contains(code)) key(code, false);
}

}  // namespace vireo::dev
