// A PS/2 mouse with three buttons and, for hosts that know how to ask, a wheel (Microsoft's
// IntelliMouse): a pure model (ps2.h names the reference).
//
// Thread: none of its own; the controller's.
// Motion that the host does not fetch adds up, within bounds, and is told when it does.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "devices/legacy/ps2.h"
#include "vmm/base/state.h"

namespace vireo::dev {

// How a mouse was moved. Counts; x to the right, y upwards, the wheel towards the user.
struct Ps2Motion {
  int32_t x = 0, y = 0, wheel = 0;
};

struct Ps2MouseState {
  static constexpr StateTag kTag{"ps2-mouse", 1};
  uint8_t pending_command = 0;  // the one whose parameter comes next; 0: none
  bool reporting = false;
  bool remote = false;  // reports only when asked
  bool wrap = false;    // echoes what it receives
  bool double_scale = false;
  bool has_wheel = false;  // the host asked for it
  uint8_t resolution = 2;
  uint8_t rate = 100;
  std::array<uint8_t, 3> rates{};  // the last ones asked for
  uint8_t buttons = 0;             // as they are
  uint8_t told_buttons = 0;
  int32_t x = 0, y = 0, wheel = 0;  // motion not yet told
  ps2::Output output{};
  static void fields(auto& s, auto& archive) {
    archive("pending_command", s.pending_command)("reporting", s.reporting)("remote", s.remote)(
        "wrap", s.wrap)("double_scale", s.double_scale)("has_wheel", s.has_wheel)(
        "resolution", s.resolution)("rate", s.rate)("rates", s.rates)("buttons", s.buttons)(
        "told_buttons", s.told_buttons)("x", s.x)("y", s.y)("wheel", s.wheel)("output", s.output);
  }
  bool operator==(const Ps2MouseState&) const = default;
};

class Ps2Mouse {
 public:
  using State = Ps2MouseState;
  enum Button : uint8_t { kLeft = 1, kRight = 2, kMiddle = 4 };
  static constexpr int32_t kFarthest = 8192;  // motion that is not fetched, in each direction

  Ps2Mouse() = default;
  explicit Ps2Mouse(State state);  // throws StateError on what no mouse can be in
  const State& state() const noexcept { return state_; }

  // The wire.
  void receive(uint8_t byte);
  std::optional<uint8_t> send();

  // The hand. `buttons`: those that are held now.
  void move(const Ps2Motion& motion, uint8_t buttons);

 private:
  void command(uint8_t command);
  void parameter(uint8_t command, uint8_t value);
  void set_defaults();
  void report_changes();
  void report();
  uint8_t status() const noexcept;

  State state_;
};

}  // namespace vireo::dev
