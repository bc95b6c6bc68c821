#include "vmm/range_table.h"

#include <algorithm>

namespace vireo {

RangeTable::Entry RangeTable::find(uint64_t address, uint64_t length) const noexcept {
  while (true) {
    const uint64_t version = version_.load(std::memory_order_acquire);
    const Entry found = tables_[version % 2].last_until(address);
    if (version_.load(std::memory_order_relaxed) != version) continue;
    const uint64_t offset = address - found.range.start;
    const bool inside = offset < found.range.length && length <= found.range.length - offset;
    return inside ? found : Entry{};
  }
}

// The last that starts at the address or before: halved without a branch, which nobody could
// predict. The count is read first: there are at least as many slots. What a change makes of them
// meanwhile may be any mixture, which find() throws away.
RangeTable::Entry RangeTable::Table::last_until(uint64_t address) const noexcept {
  size_t left = count.load(std::memory_order_acquire);
  const Slot* slot = slots.load(std::memory_order_acquire);
  if (left == 0) return {};
  while (left > 1) {
    const size_t half = left / 2;
    slot += slot[half].start.load(std::memory_order_acquire) <= address ? half : 0;
    left -= half;
  }
  return {
      {slot->start.load(std::memory_order_acquire), slot->length.load(std::memory_order_acquire)},
      slot->handler.load(std::memory_order_acquire)};
}

void RangeTable::make_room(Table& table, size_t count) {
  if (count <= table.room.size()) return;
  const size_t size = std::max<size_t>({16, count, 2 * table.room.size()});
  auto& slots = storage_.emplace_back(std::make_unique<Slot[]>(size));
  table.room = {slots.get(), size};
  table.slots.store(slots.get(), std::memory_order_release);
}

void RangeTable::publish(std::span<const Entry> entries) {
  const uint64_t next = version_.load(std::memory_order_relaxed) + 1;
  Table& table = tables_[next % 2];
  make_room(table, entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    table.room[i].start.store(entries[i].range.start, std::memory_order_release);
    table.room[i].length.store(entries[i].range.length, std::memory_order_release);
    table.room[i].handler.store(entries[i].handler, std::memory_order_release);
  }
  table.count.store(entries.size(), std::memory_order_release);
  version_.store(next, std::memory_order_release);
}

}  // namespace vireo
