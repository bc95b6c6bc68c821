// A TAP as the network of a guest: frames go straight between its queues and the guest's buffers,
// and the kernel does what the guest has left undone (checksums, segmentation).
//
// Thread: the loop's. Owns the descriptors. A TAP that is taken away from under us is a link that
// goes down; the machine goes on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "devices/net/backend.h"
#include "devices/net/tap_device.h"
#include "vmm/base/log.h"

namespace vireo::dev {

class TapNet final : public NetBackend {
 public:
  TapNet(std::string name, TapDevice tap, Logger log = {});

  const NetTraits& traits() const noexcept override { return traits_; }
  std::string description() const override { return "tap " + tap_.name; }
  void open(EventLoop& loop, NetFrontend& frontend) override;
  void close() override;
  bool link_up() const noexcept override { return !lost_; }
  void set_offloads(const NetOffloads& to_guest) override;
  void set_queue_pairs(uint16_t pairs) override;
  Sent send(uint16_t pair, const NetHeader& header, std::span<const iovec> frame) override;
  Received receive(uint16_t pair, std::span<const iovec> into) override;
  std::optional<int> vhost_socket(uint16_t pair) const override;

 private:
  struct TapQueue {
    bool attached = true;
    bool full = false;
    EventLoop::Registration watch{};
  };
  void ready(uint16_t pair, uint32_t events);
  void lose(int error);
  // With room for the header in front.
  std::span<const iovec> with_header(const NetHeader& header, std::span<const iovec> frame);

  const std::string name_;
  const Logger log_;
  const TapDevice tap_;
  const NetTraits traits_;
  NetOffloads offloads_{};
  std::vector<TapQueue> queues_;
  std::vector<iovec> parts_;  // of the call under way
  bool lost_ = false;
  EventLoop* loop_ = nullptr;
  NetFrontend* frontend_ = nullptr;
  EventLoop::Registration news_;
};

}  // namespace vireo::dev
