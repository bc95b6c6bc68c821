// A device of a few bytes of memory, at ports or at addresses: what an embedder's own device looks
// like, and the other end for guests that check widths and offsets.
//
// Thread: any vCPU, under one small mutex.
#pragma once

#include <algorithm>
#include <array>
#include <mutex>
#include <string>
#include <utility>

#include "vmm/device.h"

namespace vireo::guest_tests {

struct MemoryDeviceState {
  static constexpr StateTag kTag{"memory-device", 1};
  std::array<uint8_t, 16> bytes{};
  static void fields(auto& s, auto& archive) { archive("bytes", s.bytes); }
  bool operator==(const MemoryDeviceState&) const = default;
};

class MemoryDevice final : public Device, private IoHandler {
 public:
  using State = MemoryDeviceState;
  enum class Where : uint8_t { ports, memory };

  MemoryDevice(std::string name, DeviceEnv& env, Where where, uint64_t start, State state = {})
      : name_(std::move(name)), state_(state) {
    Bus& bus = where == Where::ports ? env.pio : env.mmio;
    region_ = bus.map({start, state_.bytes.size()}, *this, name_);
  }

  const std::string& name() const noexcept override { return name_; }
  void start() override {}
  Task<void> stop() override { co_return; }
  void reset() override {
    const std::lock_guard lock(mutex_);
    state_ = {};
  }
  void save(StateWriter& writer) const override {
    const std::lock_guard lock(mutex_);
    writer.put(name_, state_);
  }

 private:
  void io_read(uint64_t offset, std::span<std::byte> out) override {
    const std::lock_guard lock(mutex_);
    const auto bytes = std::as_bytes(std::span(state_.bytes)).subspan(offset, out.size());
    std::copy(bytes.begin(), bytes.end(), out.begin());
  }
  void io_write(uint64_t offset, std::span<const std::byte> in) override {
    const std::lock_guard lock(mutex_);
    const auto bytes = std::as_writable_bytes(std::span(state_.bytes)).subspan(offset, in.size());
    std::copy(in.begin(), in.end(), bytes.begin());
  }

  const std::string name_;
  mutable std::mutex mutex_;
  State state_;  // guarded by mutex_
  Bus::Region region_;
};

}  // namespace vireo::guest_tests
