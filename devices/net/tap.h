// A TAP as the network of a guest: frames go straight between its queues and the guest's buffers,
// and the kernel does what the guest has left undone (checksums, segmentation).
//
// Thread: the loop's. Owns the descriptors. A TAP that is taken away from under us is a link that
// goes down; the machine goes on. Queues that are lent to vhost-net are not watched, which would
// wake the loop for each frame: there, a look at the TAP after each change of the host's interfaces
// says whether it is still there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "devices/net/backend.h"
#include "devices/net/tap_device.h"
#include "vmm/base/fd.h"
#include "vmm/base/io_vecs.h"
#include "vmm/base/log.h"

namespace vireo::dev {

class TapNet final : public NetBackend {
 public:
  // Throws ConfigError when vhost-net has to be there and is not.
  TapNet(std::string name, TapDevice tap, Vhost vhost, Logger log = {});

  const NetTraits& traits() const noexcept override { return traits_; }
  std::string description() const override;
  void open(EventLoop& loop, NetFrontend& frontend) override;
  void close() override;
  bool link_up() const noexcept override { return !lost_; }
  void set_offloads(const NetOffloads& to_guest) override;
  void set_queue_pairs(uint16_t pairs) override;
  Sent send(uint16_t pair, const NetHeader& header, std::span<const iovec> frame) override;
  Received receive(uint16_t pair, std::span<const iovec> into) override;
  std::optional<KernelPath> vhost(uint16_t pair) const override;
  void set_lent(uint16_t pair, bool lent) override;

 private:
  struct TapQueue {
    bool attached = true;
    bool full = false;
    bool lent = false;  // to vhost-net
    UniqueFd vhost{};   // of the kernel; empty: it is not used
    EventLoop::Registration watch{};
  };
  void watch(uint16_t pair);
  void watch_changes();
  void look_after_changes();
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
  IoVecs parts_;  // of the call under way
  bool lost_ = false;
  EventLoop* loop_ = nullptr;
  NetFrontend* frontend_ = nullptr;
  EventLoop::Registration changes_;  // of interfaces; while a queue is lent
  EventLoop::Registration news_;
};

}  // namespace vireo::dev
