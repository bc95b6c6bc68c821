#include "devices/net/checksum.h"

#include <cstring>

#include "vmm/base/error.h"

namespace vireo::dev {

namespace {

uint64_t load(const std::byte* from) noexcept {
  uint64_t word;
  std::memcpy(&word, from, sizeof(word));
  return word;
}

}  // namespace

// Words of any width sum up the same way, as long as the carry is added again (RFC 1071, 2).
uint16_t internet_sum(std::span<const std::byte> bytes) noexcept {
  uint64_t low = 0;
  uint64_t high = 0;
  while (bytes.size() >= sizeof(uint64_t)) {
    const uint64_t word = load(bytes.data());
    low += word & 0xffffffff;
    high += word >> 32;
    bytes = bytes.subspan(sizeof(uint64_t));
  }
  uint64_t rest = 0;
  if (!bytes.empty()) std::memcpy(&rest, bytes.data(), bytes.size());
  uint64_t sum = (low & 0xffffffff) + (low >> 32) + (high & 0xffffffff) + (high >> 32) +
                 (rest & 0xffffffff) + (rest >> 32);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

void finish_checksum(std::span<std::byte> frame, size_t start, size_t offset) noexcept {
  VMM_CHECK(start + offset + sizeof(uint16_t) <= frame.size(), "a checksum lies in its frame");
  const std::span<std::byte> summed = frame.subspan(start);
  auto checksum = static_cast<uint16_t>(~internet_sum(summed));
  if (checksum == 0) checksum = 0xffff;  // the same sum; 0 would say "none" to UDP
  std::memcpy(summed.data() + offset, &checksum, sizeof(checksum));
}

}  // namespace vireo::dev
