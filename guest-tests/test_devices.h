// Devices that only the tests have: what an embedder's own device looks like, and the other end for
// guests that check how they reach one.
//
// Thread: any vCPU, under one small mutex each.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "vmm/device.h"

namespace vireo::guest_tests {

enum class Where : uint8_t { ports, memory };

inline Bus& bus_of(DeviceEnv& env, Where where) {
  return where == Where::ports ? env.platform.pio : env.platform.mmio;
}

// A few bytes of memory.
struct MemoryDeviceState {
  static constexpr StateTag kTag{"memory-device", 1};
  std::array<uint8_t, 16> bytes{};
  static void fields(auto& s, auto& archive) { archive("bytes", s.bytes); }
  bool operator==(const MemoryDeviceState&) const = default;
};

class MemoryDevice final : public Device, private IoHandler {
 public:
  using State = MemoryDeviceState;

  MemoryDevice(std::string name, DeviceEnv& env, Where where, uint64_t start, State state = {})
      : name_(std::move(name)),
        state_(state),
        region_(bus_of(env, where).map({start, state_.bytes.size()}, *this, name_)) {}

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

// Counts how often it is read, and tells it: a read that is lost or done twice shows. Each takes a
// while, so that whoever stops the machine mostly does so in the middle of one.
struct CounterDeviceState {
  static constexpr StateTag kTag{"counter-device", 1};
  uint32_t reads = 0;
  static void fields(auto& s, auto& archive) { archive("reads", s.reads); }
  bool operator==(const CounterDeviceState&) const = default;
};

class CounterDevice final : public Device, private IoHandler {
 public:
  using State = CounterDeviceState;

  CounterDevice(std::string name, DeviceEnv& env, Where where, uint64_t start, State state = {})
      : name_(std::move(name)),
        state_(state),
        region_(bus_of(env, where).map({start, sizeof state_.reads}, *this, name_)) {}

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
  void io_read(uint64_t, std::span<std::byte> out) override {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    const std::lock_guard lock(mutex_);
    ++state_.reads;
    std::memcpy(out.data(), &state_.reads, std::min(out.size(), sizeof state_.reads));
  }
  void io_write(uint64_t, std::span<const std::byte>) override {}

  const std::string name_;
  mutable std::mutex mutex_;
  State state_;  // guarded by mutex_
  Bus::Region region_;
};

}  // namespace vireo::guest_tests
