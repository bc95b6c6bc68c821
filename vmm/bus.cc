#include "vmm/bus.h"

#include <algorithm>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo {

namespace {

bool overlap(const Range& a, const Range& b) noexcept {
  return a.start < b.start ? b.start - a.start < a.length : a.start - b.start < b.length;
}

}  // namespace

Bus::Region Bus::map(Range range, IoHandler& handler, const std::string& who) {
  if (range.length == 0 || range.start + range.length - 1 < range.start)
    throw ConfigError(fmt::format("{}: the {} range {:#x}+{:#x} is empty or wraps around", who,
                                  name_, range.start, range.length));
  const std::lock_guard lock(mutex_);
  check_free(range, who);
  std::vector<Entry> more = entries_;
  const auto after = std::find_if(more.begin(), more.end(), [&](const Entry& entry) {
    return entry.range.start > range.start;
  });
  more.insert(after, {range, &handler});
  occupants_[range.start] = who;
  table_.publish(more);
  entries_.swap(more);
  return Region(*this, range.start);
}

void Bus::check_free(Range range, const std::string& who) const {
  for (const Entry& entry : entries_)
    if (overlap(entry.range, range))
      throw ConfigError(fmt::format("{}: the {} range {:#x}+{:#x} is taken by {}", who, name_,
                                    range.start, range.length, occupants_.at(entry.range.start)));
}

void Bus::unmap(uint64_t start) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [start](const Entry& entry) { return entry.range.start == start; });
  occupants_.erase(start);
  table_.publish(entries_);
}

void Bus::read(uint64_t address, std::span<std::byte> out) const {
  std::fill(out.begin(), out.end(), std::byte{0xff});
  if (const Entry found = table_.find(address, out.size()); found.handler != nullptr)
    found.handler->io_read(address - found.range.start, out);
}

void Bus::write(uint64_t address, std::span<const std::byte> in) const {
  if (const Entry found = table_.find(address, in.size()); found.handler != nullptr)
    found.handler->io_write(address - found.range.start, in);
}

}  // namespace vireo
