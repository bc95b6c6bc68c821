// A network whose other end is the test: it sends frames to the device, and sees what the device
// sends and sets.
//
// Thread: the test's, which also steps the loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "devices/net/backend.h"
#include "vmm/base/io_vecs.h"

namespace vireo::dev {

struct TestFrame {
  NetHeader header{};
  std::vector<std::byte> bytes{};
};

class TestNet final : public NetBackend {
 public:
  explicit TestNet(NetTraits traits = {}) : traits_(traits) {}

  const NetTraits& traits() const noexcept override { return traits_; }
  std::string description() const override { return "test"; }
  void open(EventLoop&, NetFrontend& frontend) override { frontend_ = &frontend; }
  void close() override { frontend_ = nullptr; }
  bool link_up() const noexcept override { return up_; }
  void set_offloads(const NetOffloads& offloads) override { to_guest = offloads; }
  void set_queue_pairs(uint16_t pairs) override { pairs_in_use = pairs; }

  Sent send(uint16_t pair, const NetHeader& header, std::span<const iovec> frame) override {
    if (room == 0) return Sent::full;
    --room;
    TestFrame copy{header, {}};
    append(copy.bytes, frame);
    sent[pair].push_back(std::move(copy));
    return Sent::taken;
  }
  Received receive(uint16_t pair, std::span<const iovec> into) override {
    if (waiting[pair].empty()) return {};
    const TestFrame frame = std::move(waiting[pair].front());
    waiting[pair].pop_front();
    copy_to(into, frame.bytes);
    return {frame.header, frame.bytes.size()};
  }

  // The test's.
  bool is_open() const noexcept { return frontend_ != nullptr; }
  void arrive(TestFrame frame, uint16_t pair = 0) {
    waiting[pair].push_back(std::move(frame));
    if (frontend_ != nullptr) frontend_->frames_arrived(pair);
  }
  void make_room(size_t frames, uint16_t pair = 0) {
    room += frames;
    if (frontend_ != nullptr) frontend_->can_send(pair);
  }
  void plug(bool up) {
    up_ = up;
    if (frontend_ != nullptr) frontend_->link_changed();
  }

  NetOffloads to_guest{};
  uint16_t pairs_in_use = 0;
  size_t room = 1'000'000;
  std::array<std::vector<TestFrame>, 4> sent;
  std::array<std::deque<TestFrame>, 4> waiting;

 private:
  const NetTraits traits_;
  NetFrontend* frontend_ = nullptr;
  bool up_ = true;
};

}  // namespace vireo::dev
