#include "vmm/memory/register_pages.h"

#include <sys/mman.h>

#include <algorithm>

#include <fmt/core.h>

#include "vmm/base/error.h"

namespace vireo {

RegisterPages::RegisterPages(uint64_t start) : start_(start) {
  void* const space = ::mmap(nullptr, kCount * kPageSize, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (space == MAP_FAILED) throw_errno("cannot map memory for the registers of devices");
  memory_.reset(static_cast<std::byte*>(space));
}

void RegisterPages::Unmap::operator()(std::byte* memory) const noexcept {
  ::munmap(memory, kCount * kPageSize);
}

RegisterPages::Page RegisterPages::claim(const std::string& who) {
  if (claimed_ == kCount)
    throw ConfigError(fmt::format("{}: no addresses are left for it: too many devices", who));
  const uint64_t offset = claimed_++ * kPageSize;
  const std::span<std::byte> bytes = memory().subspan(offset, kPageSize);
  std::fill(bytes.begin(), bytes.end(), std::byte{0xff});
  return {start_ + offset, bytes};
}

}  // namespace vireo
