#include "devices/virtio/net_state.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace vireo::dev {

namespace {

constexpr MacBytes kBroadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr uint16_t kVlanType = 0x8100;

bool contains(const std::vector<MacBytes>& table, const MacBytes& address) {
  return std::find(table.begin(), table.end(), address) != table.end();
}

struct Table {
  std::vector<MacBytes> addresses{};
  bool overflow = false;  // more than are kept
};

// One list of the table command; nothing when the data end before it does.
std::optional<Table> read_table(ByteReader& reader) {
  const uint32_t count = reader.get<le32>();
  if (!reader.ok() || count > reader.rest().size() / sizeof(MacBytes)) return std::nullopt;
  Table table;
  table.overflow = count > NetState::kMaxAddresses;
  for (uint32_t i = 0; i < count; ++i) {
    const auto address = reader.get<MacBytes>();
    if (!table.overflow) table.addresses.push_back(address);
  }
  return table;
}

}  // namespace

bool is_multicast(const MacBytes& address) noexcept {
  return (address[0] & 1) != 0;
}

bool NetState::accepts(std::span<const std::byte> start, const MacBytes& own,
                       bool filter_vlans) const {
  if (promiscuous) return true;
  ByteReader reader(start);
  const auto to = reader.get<MacBytes>();
  reader.take(sizeof(MacBytes));
  const uint16_t type = reader.get<be16>();
  if (!reader.ok()) return false;
  if (filter_vlans && type == kVlanType) {
    const size_t vlan = reader.get<be16>() % kVlans;
    if (vlans.empty() || (vlans[vlan / 8] >> (vlan % 8) & 1) == 0) return false;
  }
  if (to == kBroadcast) return !no_broadcast;
  if (is_multicast(to))
    return !no_multicast && (all_multicast || multicast_overflow || contains(multicast, to));
  return !no_unicast && (all_unicast || unicast_overflow || to == own || contains(unicast, to));
}

bool NetState::set_receive_mode(uint8_t command, uint8_t on) {
  constexpr std::array kModes{&NetState::promiscuous, &NetState::all_multicast,
                              &NetState::all_unicast, &NetState::no_multicast,
                              &NetState::no_unicast,  &NetState::no_broadcast};
  if (command >= kModes.size() || on > 1) return false;
  this->*kModes[command] = on == 1;
  return true;
}

// Both lists or neither.
bool NetState::set_addresses(std::span<const std::byte> tables) {
  ByteReader reader(tables);
  auto first = read_table(reader);
  if (!first) return false;
  auto second = read_table(reader);
  if (!second || !reader.at_end()) return false;
  unicast_overflow = first->overflow;
  multicast_overflow = second->overflow;
  unicast = std::move(first->addresses);
  multicast = std::move(second->addresses);
  return true;
}

bool NetState::set_mac(std::span<const std::byte> address) {
  ByteReader reader(address);
  const auto wanted = reader.get<MacBytes>();
  if (!reader.at_end() || is_multicast(wanted) || wanted == MacBytes{}) return false;
  mac = wanted;
  return true;
}

bool NetState::set_vlan(uint16_t vlan, bool on) {
  if (vlan >= kVlans) return false;
  vlans.resize(kVlans / 8);
  const auto bit = static_cast<uint8_t>(1U << (vlan % 8));
  uint8_t& byte = vlans[vlan / 8];
  byte = static_cast<uint8_t>(on ? byte | bit : byte & ~bit);
  return true;
}

}  // namespace vireo::dev
