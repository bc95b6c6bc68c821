// Pages of device registers that the guest reads as memory: they lie in a memory slot that KVM lets
// the guest read and sends its writes to the bus (KVM_MEM_READONLY, KVM API 4.35), so that a read
// is no exit. Where KVM has no such slots, reads go to the bus too, and the device answers them
// from its page.
//
// Thread: control, but for the pages, which are their devices'. Owns the memory. Whoever may read
// is the guest, at any time: a page holds nothing that is not for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "vmm/memory/layout.h"

namespace vireo {

class RegisterPages {
 public:
  static constexpr size_t kCount = 32;  // more than there are interrupts for

  struct Page {
    uint64_t address = 0;  // guest-physical
    std::span<std::byte> bytes{};
  };

  // From `start`, guest-physical. Throws std::system_error when the host has no memory.
  explicit RegisterPages(uint64_t start = layout::kVirtioMmio);

  // One that nobody has, all ones. Throws ConfigError when none is left.
  Page claim(const std::string& who);

  uint64_t start() const noexcept { return start_; }
  std::span<std::byte> memory() const noexcept { return {memory_.get(), kCount * kPageSize}; }

 private:
  struct Unmap {
    void operator()(std::byte* memory) const noexcept;
  };

  uint64_t start_;
  size_t claimed_ = 0;
  std::unique_ptr<std::byte, Unmap> memory_;
};

}  // namespace vireo
