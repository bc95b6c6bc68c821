// A linear framebuffer: pixels in a memory slot of their own at layout::kFramebuffer. There are no
// registers: the kernel is told of it when it boots (vmm/boot/framebuffer.h), and of a fixed mode.
//
// Thread: its home loop; constructed on the control thread. Owns the pixels.
// KVM logs which pages the guest writes, only while somebody looks: from the first take_changes()
// until there was none for kPatience.
#pragma once

#include <sys/mman.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "devices/display/screen.h"
#include "vmm/boot/framebuffer.h"
#include "vmm/device.h"

namespace vireo::dev {

struct FramebufferState {
  static constexpr StateTag kTag{"framebuffer", 1};
  uint16_t width = 0, height = 0;
  std::vector<uint8_t> pixels{};  // all of them; empty: black, as at power-on
  static void fields(auto& s, auto& archive) {
    archive("width", s.width)("height", s.height)("pixels", s.pixels);
  }
  bool operator==(const FramebufferState&) const = default;
};

class Framebuffer final : public Device, public display::Screen {
 public:
  using State = FramebufferState;

  static constexpr display::Size kDefaultMode{1024, 768};
  static constexpr display::Size kLeastMode{320, 200};
  static constexpr display::Size kMostMode{7680, 4320};
  static constexpr std::chrono::seconds kPatience{5};

  // Throws ConfigError on a mode out of bounds, or other than that of the state; StateError on a
  // state that is none; std::system_error when the host has no memory for it.
  Framebuffer(std::string name, DeviceEnv& env, display::Size mode, State state = {});

  // For LinuxBoot.
  LinearFramebuffer boot_information() const noexcept;

  const std::string& name() const noexcept override { return name_; }
  void start() override {}
  Task<void> stop() override;
  void reset() override;  // black
  void save(StateWriter& writer) const override;

  display::Size size() const override { return mode_; }
  std::span<const std::byte> row(uint16_t y) const override;
  std::vector<display::Rows> take_changes() override;

 private:
  struct Unmap {
    size_t length;
    void operator()(std::byte* start) const noexcept { ::munmap(start, length); }
  };

  size_t bytes() const noexcept { return boot_information().size(); }
  std::span<std::byte> mapped() const noexcept {
    return {memory_.get(), memory_.get_deleter().length};
  }
  void begin_logging();
  void end_logging_if_idle();
  std::vector<display::Rows> rows_of(const std::vector<uint64_t>& pages) const;

  const std::string name_;
  EventLoop& loop_;
  const display::Size mode_;
  std::unique_ptr<std::byte, Unmap> memory_;  // whole pages
  std::unique_ptr<MemorySlot> slot_;
  bool logging_ = false;
  bool looked_at_ = false;              // since the timer was set
  bool all_changed_ = false;            // by us, which no log tells
  EventLoop::Registration idle_timer_;  // while somebody looks
};

}  // namespace vireo::dev
