#include "devices/virtio/input_tablet.h"

#include <linux/input-event-codes.h>

#include <array>
#include <utility>

namespace vireo::dev {

namespace {

struct ButtonCode {
  uint8_t button;
  uint16_t code;
};
constexpr std::array kButtons{ButtonCode{InputTablet::kLeft, BTN_LEFT},
                              ButtonCode{InputTablet::kRight, BTN_RIGHT},
                              ButtonCode{InputTablet::kMiddle, BTN_MIDDLE}};
constexpr size_t kLongestReport = 2 + 2 + kButtons.size();

InputTraits traits() {
  return {.name = "Vireo Virtio Tablet",
          .product = 2,
          .codes = {{EV_KEY, {BTN_LEFT, BTN_RIGHT, BTN_MIDDLE}},
                    {EV_REL, {REL_WHEEL, REL_HWHEEL}},
                    {EV_ABS, {ABS_X, ABS_Y}}},
          .axes = {{ABS_X, InputTablet::kRange}, {ABS_Y, InputTablet::kRange}}};
}

}  // namespace

InputTablet::InputTablet(std::string name, VirtioEnv env, State state)
    : InputDevice(std::move(name), std::move(env), traits(), std::move(state)) {}

void InputTablet::point(Position position, uint8_t buttons, Wheels wheels) {
  if (!driver_is_up()) return;
  if (!has_room_for(kLongestReport)) return release_all_but(buttons);
  std::vector<InputEvent> events{{EV_ABS, ABS_X, static_cast<int32_t>(position.x)},
                                 {EV_ABS, ABS_Y, static_cast<int32_t>(position.y)}};
  if (wheels.vertical != 0) events.push_back({EV_REL, REL_WHEEL, wheels.vertical});
  if (wheels.horizontal != 0) events.push_back({EV_REL, REL_HWHEEL, wheels.horizontal});
  for (const auto [button, code] : kButtons) {
    const bool pressed = (buttons & button) != 0;
    if (is_down(code) != pressed) events.push_back(change(code, pressed));
  }
  report(std::move(events));
}

void InputTablet::release_all_but(uint8_t buttons) {
  if (!driver_is_up()) return;
  for (const auto [button, code] : kButtons)
    if ((buttons & button) == 0 && is_down(code)) report({change(code, false)});
}

}  // namespace vireo::dev
