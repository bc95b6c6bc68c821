#include "devices/virtio/net_control.h"

#include <vector>

namespace vireo::dev {

namespace {

constexpr size_t kMostData = size_t{64} * 1024;  // of a command

}  // namespace

Task<void> NetControl::serve(Queue& queue) {
  do {
    while (auto chain = queue.pop()) {
      const auto command = chain->readable().read<NetCommand>();
      const bool ok = command && execute(*command, chain->readable());
      const uint8_t answer = ok ? kNetCommandOk : kNetCommandError;
      const size_t written = chain->writable().write(bytes_of(answer));
      queue.push(std::move(*chain), static_cast<uint32_t>(written));
    }
    queue.notify();
  } while (co_await queue.kicked());
}

bool NetControl::execute(NetCommand command, ReadCursor& cursor) {
  if (cursor.remaining() > kMostData) return false;
  std::vector<std::byte> data(static_cast<size_t>(cursor.remaining()));
  cursor.read(data);
  ByteReader reader(data);
  switch (command.klass) {
    case kNetClassReceive: {
      const auto on = reader.get<uint8_t>();
      return reader.at_end() && net_.state.set_receive_mode(command.command, on);
    }
    case kNetClassMac:
      return set_addresses(command.command, data);
    case kNetClassVlan: {
      const uint16_t vlan = reader.get<le16>();
      return reader.at_end() && command.command <= kNetVlanDelete &&
             net_.state.set_vlan(vlan, command.command == kNetVlanAdd);
    }
    case kNetClassAnnounce:
      return command.command == kNetAnnounceDone && finish_announcement();
    case kNetClassQueues: {
      const uint16_t wanted = reader.get<le16>();
      return reader.at_end() && command.command == kNetQueuePairs && set_queue_pairs(wanted);
    }
    case kNetClassOffloads: {
      const uint64_t wanted = reader.get<le64>();
      return reader.at_end() && command.command == kNetOffloadsSet && set_offloads(wanted);
    }
    default:
      return false;
  }
}

bool NetControl::set_addresses(uint8_t command, std::span<const std::byte> data) {
  if (command == kNetMacTable) return net_.state.set_addresses(data);
  if (command != kNetMacAddress || !net_.state.set_mac(data)) return false;
  config_changed_();
  return true;
}

bool NetControl::finish_announcement() {
  net_.state.announce = false;
  config_changed_();
  return true;
}

bool NetControl::set_queue_pairs(uint16_t wanted) {
  if (!net_.negotiated(kNetMultiQueue) || wanted < 1 || wanted > net_.pairs()) return false;
  net_.state.queue_pairs = wanted;
  net_.backend->set_queue_pairs(wanted);
  return true;
}

bool NetControl::set_offloads(uint64_t wanted) {
  if (!net_.negotiated(kNetControlGuestOffloads) ||
      (wanted & ~(net_.features & kNetGuestOffloads)) != 0)
    return false;
  net_.state.offloads_set = true;
  net_.state.offloads = wanted;
  net_.backend->set_offloads(net_.to_guest());
  return true;
}

}  // namespace vireo::dev
