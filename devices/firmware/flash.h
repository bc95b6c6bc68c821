// The read-only memory of a PC's firmware, which ends at 4 GiB: where a processor starts after a
// reset. What the guest writes there vanishes.
//
// Thread: control. Owns the memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vmm/device.h"

namespace vireo::dev {

struct FlashState {
  static constexpr StateTag kTag{"flash", 1};
  std::vector<uint8_t> image{};  // a snapshot goes on with the firmware that it was made with
  static void fields(auto& s, auto& archive) { archive("image", s.image); }
  bool operator==(const FlashState&) const = default;
};

class Flash final : public Device {
 public:
  using State = FlashState;

  // `image` has whole pages, at most as many as there are from layout::kFlash on. Throws StateError
  // on a state of another size, std::system_error when the host refuses it.
  Flash(std::string name, DeviceEnv& env, std::span<const std::byte> image,
        const State& state = {});

  const std::string& name() const noexcept override { return name_; }
  void start() override {}
  Task<void> stop() override;
  void reset() override {}
  void save(StateWriter& writer) const override;

 private:
  struct Unmap {
    size_t length;
    void operator()(std::byte* start) const noexcept;
  };

  std::span<std::byte> mapped() const noexcept {
    return {memory_.get(), memory_.get_deleter().length};
  }

  const std::string name_;
  std::unique_ptr<std::byte, Unmap> memory_;  // KVM wants whole pages
  std::unique_ptr<MemorySlot> slot_;
};

}  // namespace vireo::dev
