// A PS/2 keyboard of 105 keys, with scan code sets 1 and 2: a pure model (ps2.h names the
// reference). It has no lights, and repeats no key by itself: who types does that.
//
// Thread: none of its own; the controller's.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "devices/legacy/ps2.h"
#include "vmm/base/state.h"

namespace vireo::dev {

struct Ps2KeyboardState {
  static constexpr StateTag kTag{"ps2-keyboard", 1};
  uint8_t pending_command = 0;  // the one whose parameter comes next; 0: none
  uint8_t scan_set = 2;         // 1 or 2
  bool scanning = true;
  bool spoken_to = false;        // by the host, ever
  std::vector<uint16_t> down{};  // keys that are pressed as far as the host knows, or will know
  ps2::Output output{};
  static void fields(auto& s, auto& archive) {
    archive("pending_command", s.pending_command)("scan_set", s.scan_set)("scanning", s.scanning)(
        "spoken_to", s.spoken_to)("down", s.down)("output", s.output);
  }
  bool operator==(const Ps2KeyboardState&) const = default;
};

class Ps2Keyboard {
 public:
  using State = Ps2KeyboardState;

  Ps2Keyboard() = default;
  explicit Ps2Keyboard(State state);  // throws StateError on what no keyboard can be in
  const State& state() const noexcept { return state_; }

  // The wire.
  void receive(uint8_t byte);
  std::optional<uint8_t> send() { return state_.output.take(); }

  // The keys, as Keyboard (devices/keyboard.h) has them.
  bool key(uint16_t key, bool pressed);
  void release_all_but(const std::set<uint16_t>& held);

 private:
  void command(uint8_t command);
  void parameter(uint8_t command, uint8_t value);
  bool is_down(uint16_t key) const noexcept;
  uint16_t with_modifiers(uint16_t key, bool pressed) const noexcept;
  std::vector<uint8_t> codes_of(uint16_t key, bool pressed) const;
  bool has_room_for(size_t bytes) const noexcept;
  void set_defaults();

  State state_;
};

}  // namespace vireo::dev
