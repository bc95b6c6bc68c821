#include "devices/guest_input.h"

#include <algorithm>
#include <utility>

namespace vireo::dev {

namespace {

// What a keyboard has, with some to spare: viewers name any number.
constexpr size_t kMostHeld = 256;
// Presses, a few lines of text; their releases wait, too.
constexpr size_t kMostWaiting = 512;

// As the mouse and the tablet name them.
static_assert(int{InputTablet::kLeft} == Ps2Mouse::kLeft &&
              int{InputTablet::kRight} == Ps2Mouse::kRight &&
              int{InputTablet::kMiddle} == Ps2Mouse::kMiddle);
uint8_t device_buttons(uint8_t buttons) {
  const auto bit = [&](display::Input::Button button, uint8_t as) {
    return (buttons & button) != 0 ? as : uint8_t{0};
  };
  return static_cast<uint8_t>(bit(display::Input::kLeft, InputTablet::kLeft) |
                              bit(display::Input::kRight, InputTablet::kRight) |
                              bit(display::Input::kMiddle, InputTablet::kMiddle));
}

// Each press of such a button is a notch.
InputTablet::Wheels turned(uint8_t pressed) {
  const auto notch = [&](display::Input::Button button) { return (pressed & button) != 0 ? 1 : 0; };
  return {.vertical = notch(display::Input::kWheelUp) - notch(display::Input::kWheelDown),
          .horizontal = notch(display::Input::kWheelRight) - notch(display::Input::kWheelLeft)};
}

uint32_t scaled(uint16_t at, uint16_t size) {
  const uint32_t last = std::max<uint32_t>(size, 2) - 1;
  return (std::min<uint32_t>(at, last) * InputTablet::kRange + last / 2) / last;
}

}  // namespace

GuestInput::GuestInput(EventLoop& loop, Devices devices, display::Size screen)
    : loop_(loop), devices_(devices), screen_(screen) {}

void GuestInput::key(uint16_t code, bool pressed) {
  if (pressed ? !may_press(code) : held_.erase(code) == 0) return;
  if (pressed) held_.insert(code);
  waiting_.push_back({code, pressed});
  if (running_) deliver();
}

// What is pressed while the machine is paused is lost. Every press that waits has one release
// behind it at most: a key that repeats does not wait.
bool GuestInput::may_press(uint16_t code) const {
  if (!running_) return false;
  if (held_.contains(code)) return waiting_.empty();
  return held_.size() < kMostHeld && waiting_.size() < kMostWaiting;
}

void GuestInput::deliver() {
  const size_t before = waiting_.size();
  while (!waiting_.empty() && give(waiting_.front())) waiting_.pop_front();
  if (waiting_.size() < before) {
    pause_ = kFirstPause;
    again_.reset();
  }
  if (waiting_.empty() || again_) return;
  again_ = loop_.after(pause_, [this] {
    again_.reset();
    pause_ = std::min(2 * pause_, kLastPause);
    deliver();
  });
}

// False: not now. A release goes to both: the driver may have come in between.
bool GuestInput::give(const Stroke& stroke) {
  Keyboard& ps2 = devices_.ps2;
  Keyboard& virtio = devices_.keyboard;
  if (stroke.pressed) return (virtio.listens() ? virtio : ps2).key(stroke.key, true);
  virtio.key(stroke.key, false);
  ps2.key(stroke.key, false);
  return true;
}

void GuestInput::pointer(uint16_t x, uint16_t y, uint8_t buttons) {
  const auto pressed = static_cast<uint8_t>(buttons & ~std::exchange(buttons_, buttons));
  const InputTablet::Wheels wheels = turned(pressed);
  if (devices_.tablet.listens()) {
    devices_.tablet.point({scaled(x, screen_.width), scaled(y, screen_.height)},
                          device_buttons(buttons), wheels);
    devices_.ps2.move({}, 0);
  } else {
    move_mouse({x, y}, device_buttons(buttons), wheels);
  }
  at_ = {x, y};
}

// Screens count downwards, mice upwards; and a mouse's wheel the other way round.
void GuestInput::move_mouse(Point to, uint8_t buttons, InputTablet::Wheels wheels) {
  devices_.ps2.move({.x = to.x - at_.x, .y = at_.y - to.y, .wheel = -wheels.vertical}, buttons);
}

// The devices have started before: they were there first.
void GuestInput::start() {
  running_ = true;
  deliver();
  devices_.ps2.release_all_but(held_);
  devices_.keyboard.release_all_but(held_);
  devices_.tablet.release_all_but(device_buttons(buttons_));
  devices_.ps2.move({}, devices_.tablet.listens() ? uint8_t{0} : device_buttons(buttons_));
}

Task<void> GuestInput::stop() {
  running_ = false;
  again_.reset();
  co_return;
}

}  // namespace vireo::dev
