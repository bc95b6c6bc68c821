// A virtio device whose every move a test sees: it can hold its requests back, fail to drain until
// told, and change its configuration.
//
// Thread: the test's, which also steps the loop.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "devices/virtio/device.h"
#include "vmm/base/async_sync.h"

namespace vireo::dev {

class TestDevice final : public VirtioDevice {
 public:
  static constexpr uint64_t kFeature = uint64_t{1} << 5;

  explicit TestDevice(EventLoop& loop, std::vector<uint16_t> queue_sizes = {8, 16})
      : info_{.type = 42, .features = kFeature, .queue_sizes = std::move(queue_sizes)},
        loop_(loop) {}

  const VirtioInfo& info() const noexcept override { return info_; }
  std::vector<std::byte> config() const override {
    return {bytes_of(config_).begin(), bytes_of(config_).end()};
  }
  void config_written(uint32_t offset, std::span<const std::byte> bytes) override {
    note("config");
    std::copy(bytes.begin(), bytes.end(), writable_bytes_of(config_).begin() + offset);
  }
  void machine_started() override { note("started"); }
  void machine_stopped() override { note("stopped"); }
  void start_queue(uint16_t index, std::unique_ptr<Queue> queue, uint64_t features) override {
    note("start " + std::to_string(index));
    negotiated = features;
    work_[index].start(std::move(queue));
    work_[index].spawn(serve(work_[index]));
  }
  Task<std::optional<QueueState>> stop_queue(uint16_t index) override {
    if (work_[index]) note("stop " + std::to_string(index));
    return work_[index].stop();
  }
  void reset() override {
    note("reset");
    config_ = 0x0807060504030201;
  }
  void save(StateWriter&) const override {}
  Task<void> close() override {
    note("close");
    co_return;
  }

  void change_config(uint64_t value) {
    config_ = value;
    config_changed();
  }
  bool started(uint16_t index) { return static_cast<bool>(work_[index]); }
  std::vector<std::string> take_calls() { return std::exchange(calls_, {}); }

  // While not set, requests stay under way.
  Event may_answer;
  uint64_t negotiated = 0;
  size_t served = 0;

 private:
  void note(std::string call) {
    loop_.check_current();
    calls_.push_back(std::move(call));
  }
  Task<void> serve(QueueWork& work) {
    Queue& queue = work.queue();
    do {
      while (auto chain = queue.pop()) work.spawn(answer(queue, std::move(*chain)));
    } while (co_await queue.kicked());
  }
  Task<void> answer(Queue& queue, Chain chain) {
    co_await may_answer.wait();
    ++served;
    const size_t written = chain.writable().write(bytes_of_text("ok"));
    queue.push(std::move(chain), static_cast<uint32_t>(written));
    queue.notify();
  }

  const VirtioInfo info_;
  EventLoop& loop_;
  le64 config_ = 0x0807060504030201;
  std::vector<std::string> calls_;
  std::map<uint16_t, QueueWork> work_;
};

}  // namespace vireo::dev
