// A framebuffer in the guest's RAM, where a firmware tells of it by the file etc/ramfb of fw_cfg
// (QEMU, hw/display/ramfb.c). Viewers see it from then on until a reset, and another screen before.
//
// Thread: its home loop, which is the viewers'; set() from any. What the guest tells is checked:
// all pixels are RAM, and the size is one that a screen can have.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "devices/display/screen.h"
#include "vmm/device.h"

namespace vireo::dev {

struct RamfbState {
  static constexpr StateTag kTag{"ramfb", 1};
  uint64_t address = 0;            // guest-physical
  uint16_t width = 0, height = 0;  // pixels; 0: there is none
  uint32_t stride = 0;             // bytes from row to row
  static void fields(auto& s, auto& archive) {
    archive("address", s.address)("width", s.width)("height", s.height)("stride", s.stride);
  }
  bool operator==(const RamfbState&) const = default;
};

class Ramfb final : public Device, public display::Screen {
 public:
  using State = RamfbState;
  static constexpr size_t kFile = 28;  // bytes of etc/ramfb

  // `before` is what viewers see while there is no other, and outlives this. Throws StateError on a
  // state of a framebuffer that is not in RAM.
  Ramfb(std::string name, DeviceEnv& env, display::Screen& before, const State& state = {});

  // What the guest has written into the file. False: that is no framebuffer, and nothing changes.
  bool set(std::span<const std::byte> file);

  const std::string& name() const noexcept override { return name_; }
  void start() override {}
  Task<void> stop() override;
  void reset() override;
  void save(StateWriter& writer) const override;

  display::Size size() const override;
  std::span<const std::byte> row(uint16_t y) const override;
  std::vector<display::Rows> take_changes() override;

 private:
  bool is_set() const noexcept { return state_.width != 0; }

  const std::string name_;
  EventLoop& loop_;
  const GuestMemory& memory_;
  display::Screen& before_;
  State state_;
};

}  // namespace vireo::dev
