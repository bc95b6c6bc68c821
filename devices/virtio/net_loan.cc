#include "devices/virtio/net_loan.h"

#include <fmt/core.h>

namespace vireo::dev {

NetLoan::NetLoan(NetInterface& net) : net_(net) {
  for (uint16_t pair = 0; pair < net.pairs(); ++pair) {
    const auto path = net.backend->vhost(pair);
    vhosts_.push_back(path ? std::make_unique<VhostNet>(path->device, path->tap) : nullptr);
  }
}

bool NetLoan::lend(uint16_t index, Queue& queue) {
  const uint16_t pair = index / 2;
  VhostNet* const kernel = vhost(pair);
  if (kernel == nullptr || net_.config.rates.any()) return false;
  net_.backend->set_lent(pair, true);
  const auto error = kernel->start(index % 2, queue, net_.features, net_.loop);
  if (!error) return true;
  net_.log.warn(net_.name, fmt::format("goes on without vhost-net: {}", error.message()));
  net_.backend->set_lent(pair, false);
  return false;
}

void NetLoan::end(uint16_t index) {
  const uint16_t pair = index / 2;
  VhostNet* const kernel = vhost(pair);
  if (kernel == nullptr || !kernel->running(index % 2)) return;
  kernel->stop(index % 2);
  if (!kernel->running(1 - index % 2)) net_.backend->set_lent(pair, false);
}

void NetLoan::set_link(bool up) {
  for (const auto& kernel : vhosts_)
    if (kernel) kernel->set_link(up);
}

}  // namespace vireo::dev
