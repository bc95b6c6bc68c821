#include "vmm/bus.h"

#include <algorithm>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo {

namespace {

bool starts_before(const Range& range, uint64_t address) noexcept {
  return range.start < address;
}

}  // namespace

Bus::Region Bus::map(Range range, IoHandler& handler, const std::string& who) {
  if (range.length == 0 || range.start + range.length - 1 < range.start)
    throw ConfigError(fmt::format("{}: the {} range {:#x}+{:#x} is empty or wraps around", who,
                                  name_, range.start, range.length));
  const auto after = std::lower_bound(
      entries_.begin(), entries_.end(), range.start,
      [](const Entry& entry, uint64_t address) { return starts_before(entry.range, address); });
  const auto collides = [&](const Entry& entry) {
    throw ConfigError(fmt::format("{}: the {} range {:#x}+{:#x} is taken by {}", who, name_,
                                  range.start, range.length, entry.who));
  };
  if (after != entries_.end() && after->range.start - range.start < range.length) collides(*after);
  if (after != entries_.begin()) {
    const Entry& before = *std::prev(after);
    if (range.start - before.range.start < before.range.length) collides(before);
  }
  entries_.insert(after, Entry{range, &handler, who});
  return Region(*this, range.start);
}

void Bus::unmap(uint64_t start) noexcept {
  std::erase_if(entries_, [start](const Entry& entry) { return entry.range.start == start; });
}

const Bus::Entry* Bus::find(uint64_t address, uint64_t length) const noexcept {
  const auto after = std::upper_bound(
      entries_.begin(), entries_.end(), address,
      [](uint64_t wanted, const Entry& entry) { return wanted < entry.range.start; });
  if (after == entries_.begin()) return nullptr;
  const Entry& entry = *std::prev(after);
  const uint64_t offset = address - entry.range.start;
  const bool inside = offset < entry.range.length && length <= entry.range.length - offset;
  return inside ? &entry : nullptr;
}

void Bus::read(uint64_t address, std::span<std::byte> out) const {
  std::fill(out.begin(), out.end(), std::byte{0xff});
  if (const Entry* entry = find(address, out.size()))
    entry->handler->io_read(address - entry->range.start, out);
}

void Bus::write(uint64_t address, std::span<const std::byte> in) const {
  if (const Entry* entry = find(address, in.size()))
    entry->handler->io_write(address - entry->range.start, in);
}

}  // namespace vireo
