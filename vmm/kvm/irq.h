// Interrupt inputs of the guest, as devices see them.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "vmm/base/fd.h"

namespace vireo {

// One edge-triggered input: each raise() is one interrupt. Thread: any. A default-constructed one
// goes nowhere (unit tests may give their own descriptor to count).
class IrqLine {
 public:
  IrqLine() = default;
  explicit IrqLine(UniqueFd event) noexcept : event_(std::move(event)) {}
  void raise() const noexcept {
    if (event_) signal_eventfd(event_.get());
  }
  int fd() const noexcept { return event_.get(); }

 private:
  UniqueFd event_;  // an irqfd of the VM
};

// Hands out the I/O APIC's inputs. Thread: control. `connect` makes the irqfd for a GSI.
class IrqAllocator {
 public:
  using Connect = std::function<IrqLine(uint32_t gsi)>;
  explicit IrqAllocator(Connect connect);

  struct Claim {
    uint32_t gsi;
    IrqLine line;
  };
  Claim claim(uint32_t gsi, const std::string& who);  // a fixed one; throws ConfigError when taken
  Claim claim_free(const std::string& who);  // the highest free one; throws when none is left

 private:
  Connect connect_;
  std::set<uint32_t> free_;    // for claim_free()
  std::set<uint32_t> legacy_;  // fixed ones nobody has claimed yet
};

}  // namespace vireo
