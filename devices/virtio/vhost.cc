#include "devices/virtio/vhost.h"

#define VIRTIO_RING_NO_LEGACY  // functions that are not C++
#include <linux/vhost.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include <utility>
#include <vector>

#include "devices/virtio/net_wire.h"
#include "devices/virtio/virtio_wire.h"
#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

// Of the negotiated features, those that whoever serves the rings has to know.
constexpr uint64_t kRingFeatures =
    kFeatureIndirect | kFeatureEventIdx | kFeatureVersion1 | kNetMergeBuffers;

template <class Argument>
std::error_code control(int device, unsigned long request, Argument* argument) {
  return ::ioctl(device, request, argument) == 0 ? std::error_code() : last_error();
}

uint64_t address_of(std::span<const std::byte> area) noexcept {
  return reinterpret_cast<uint64_t>(area.data());
}

std::error_code set_memory(int device, const GuestMemory& memory) {
  const auto regions = memory.regions();
  std::vector<std::byte> bytes(sizeof(vhost_memory) + regions.size() * sizeof(vhost_memory_region));
  auto* const table = reinterpret_cast<vhost_memory*>(bytes.data());
  table->nregions = static_cast<uint32_t>(regions.size());
  for (size_t i = 0; i < regions.size(); ++i)
    table->regions[i] = {.guest_phys_addr = regions[i].start,
                         .memory_size = regions[i].bytes.size(),
                         .userspace_addr = address_of(regions[i].bytes)};
  return control(device, VHOST_SET_MEM_TABLE, table);
}

}  // namespace

std::error_code VhostNet::start(size_t ring, Queue& queue, uint64_t features, EventLoop& loop) {
  const Queue::Lent lent = queue.lend();
  std::error_code error = prepare(lent, features & kRingFeatures);
  if (!error) rings_[ring].call = make_eventfd(error);
  if (!error) error = set_up(ring, lent);
  if (!error && link_) error = connect(ring, tap_);
  if (error) {
    queue.take_back(lent.state);
    return error;
  }
  rings_[ring].queue = &queue;
  // Edge-triggered: the counter needs no reading.
  rings_[ring].watch = loop.watch(rings_[ring].call.get(), EPOLLIN | EPOLLET,
                                  [interrupt = lent.interrupt](uint32_t) { interrupt(); });
  return {};
}

// What both rings share.
std::error_code VhostNet::prepare(const Queue::Lent& lent, uint64_t features) {
  if (running(0) || running(1)) return {};
  if (!owned_) {
    if (const auto error = control<void>(device_, VHOST_SET_OWNER, nullptr)) return error;
    owned_ = true;
  }
  uint64_t known = 0;
  if (const auto error = control(device_, VHOST_GET_FEATURES, &known)) return error;
  if ((features & ~known) != 0) return std::make_error_code(std::errc::not_supported);
  if (const auto error = control(device_, VHOST_SET_FEATURES, &features)) return error;
  return set_memory(device_, lent.memory);
}

std::error_code VhostNet::set_up(size_t ring, const Queue::Lent& lent) {
  const auto index = static_cast<unsigned>(ring);
  vhost_vring_state size{index, lent.ring.size()};
  vhost_vring_state base{index, lent.state.next_available};
  vhost_vring_addr areas{.index = index,
                         .desc_user_addr = address_of(lent.ring.descriptors()),
                         .used_user_addr = address_of(lent.ring.used_area()),
                         .avail_user_addr = address_of(lent.ring.available_area())};
  vhost_vring_file kick{index, lent.kick};
  vhost_vring_file call{index, rings_[ring].call.get()};
  if (const auto error = control(device_, VHOST_SET_VRING_NUM, &size)) return error;
  if (const auto error = control(device_, VHOST_SET_VRING_BASE, &base)) return error;
  if (const auto error = control(device_, VHOST_SET_VRING_ADDR, &areas)) return error;
  if (const auto error = control(device_, VHOST_SET_VRING_KICK, &kick)) return error;
  return control(device_, VHOST_SET_VRING_CALL, &call);
}

std::error_code VhostNet::connect(size_t ring, int tap) const {
  vhost_vring_file backend{static_cast<unsigned>(ring), tap};
  return control(device_, VHOST_NET_SET_BACKEND, &backend);
}

void VhostNet::stop(size_t ring) {
  Queue* const queue = std::exchange(rings_[ring].queue, nullptr);
  if (queue == nullptr) return;
  const std::error_code disconnected = connect(ring, -1);
  vhost_vring_state base{static_cast<unsigned>(ring), 0};
  const std::error_code asked = control(device_, VHOST_GET_VRING_BASE, &base);
  VMM_CHECK(!disconnected && !asked, "the kernel gives a ring back");
  rings_[ring].watch.reset();
  const Queue::Lent lent = queue->lend();
  queue->take_back({static_cast<uint16_t>(base.num), lent.ring.used_index()});
  lent.interrupt();  // what was signalled last may not have been passed on
}

void VhostNet::set_link(bool up) {
  link_ = up;
  for (size_t ring = 0; ring < rings_.size(); ++ring)
    if (running(ring)) static_cast<void>(connect(ring, up ? tap_ : -1));
}

}  // namespace vireo::dev
