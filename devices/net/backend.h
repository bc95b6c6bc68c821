// Ethernet frames between a guest's network device (frontend) and the host (backend: a TAP, a user
// mode network, a socket).
//
// Thread: the device's loop, for both sides and all calls, unless something says otherwise. A
// backend is constructed on the control thread and does there whatever can fail for the user (open
// the TAP, bind the port, connect); after that it never blocks, and bounds all that it keeps.
// The device owns its backend. After open() the frontend must stay alive until close().
//
// Both directions hold back instead of losing frames: a backend that can take no more says so
// (Sent::full) and calls can_send() later; a device that has no room does not call receive(), and
// the backend keeps what it may or leaves it where it comes from.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "devices/net/header.h"
#include "vmm/base/event_loop.h"

namespace vireo::dev {

// What of a frame its sender may leave to the receiver.
struct NetOffloads {
  bool checksum = false;  // the ones below imply it
  bool tcp4 = false;      // frames of up to 64 KiB that are still to be cut
  bool tcp6 = false;
  bool tcp_ecn = false;
  bool udp = false;
  bool operator==(const NetOffloads&) const = default;
};

// What a backend is, for its life.
struct NetTraits {
  uint16_t queue_pairs = 1;
  uint16_t mtu = 0;          // that the guest is told; 0: nothing
  NetOffloads from_guest{};  // what send() takes
  NetOffloads to_guest{};    // what receive() can give, once set_offloads() allows it
};

// The device's side, called by the backend; never from inside a call of the device's.
class NetFrontend {
 public:
  // After a receive() that gave nothing: now there may be a frame.
  virtual void frames_arrived(uint16_t pair) = 0;
  // After a send() that found the backend full: now it may take a frame.
  virtual void can_send(uint16_t pair) = 0;
  // link_up() has changed.
  virtual void link_changed() = 0;

 protected:
  ~NetFrontend() = default;
};

class NetBackend {
 public:
  NetBackend() = default;
  NetBackend(const NetBackend&) = delete;
  NetBackend& operator=(const NetBackend&) = delete;
  virtual ~NetBackend() = default;

  virtual const NetTraits& traits() const noexcept = 0;
  // For users: "user", "tap vireo0".
  virtual std::string description() const = 0;
  // What the user has to be told of it, such as ports that the host has chosen; a line each.
  virtual std::vector<std::string> announcements() const { return {}; }

  // The machine runs: from here it uses the loop and calls the frontend.
  virtual void open(EventLoop& loop, NetFrontend& frontend) = 0;
  // The machine is paused or has ended: until the next open() it uses neither. Idempotent.
  virtual void close() = 0;
  virtual bool link_up() const noexcept { return true; }

  // What the guest takes, of what traits() has; nothing until this is called. Throws nothing: a
  // backend that can not do it any more gives plain frames.
  virtual void set_offloads(const NetOffloads& /*to_guest*/) {}
  // How many of the queue pairs the guest uses.
  virtual void set_queue_pairs(uint16_t /*pairs*/) {}

  enum class Sent : uint8_t { taken, full, dropped };
  // A frame of at most kMaxFrame bytes, in guest memory that may change at any time. The header
  // keeps to traits().from_guest.
  virtual Sent send(uint16_t pair, const NetHeader& header, std::span<const iovec> frame) = 0;

  struct Received {
    NetHeader header{};
    size_t length = 0;  // of the frame, also when it was cut off for lack of room; 0: there is none
  };
  virtual Received receive(uint16_t pair, std::span<const iovec> into) = 0;

  // The kernel's own way of carrying a queue pair's frames, where there is one: vhost-net and a
  // TAP. The descriptors are the backend's.
  struct KernelPath {
    int device;  // /dev/vhost-net
    int tap;
  };
  // While a ring of it runs, nothing is sent and received here, and nobody is called.
  virtual std::optional<KernelPath> vhost(uint16_t /*pair*/) const { return std::nullopt; }
  virtual void set_lent(uint16_t /*pair*/, bool /*lent*/) {}
};

}  // namespace vireo::dev
