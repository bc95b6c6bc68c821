// Interrupt inputs of the guest, as devices see them.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "vmm/base/fd.h"

namespace vireo {

// An interrupt controller's inputs. Thread: any.
class IrqInputs {
 public:
  virtual ~IrqInputs() = default;
  virtual void raise(uint32_t input) noexcept = 0;
};

// One edge-triggered input: each raise() is one interrupt. Thread: any. It is an input of a
// controller of ours, or an irqfd that leads to one of KVM's (a unit test gives an eventfd of its
// own and counts); a default-constructed one goes nowhere. The controller outlives it.
class IrqLine {
 public:
  IrqLine() = default;
  explicit IrqLine(UniqueFd event) noexcept : event_(std::move(event)) {}
  IrqLine(IrqInputs& inputs, uint32_t input) noexcept : inputs_(&inputs), input_(input) {}
  void raise() const noexcept {
    if (inputs_ != nullptr) inputs_->raise(input_);
    if (event_) signal_eventfd(event_.get());
  }
  int fd() const noexcept { return event_.get(); }

 private:
  IrqInputs* inputs_ = nullptr;
  uint32_t input_ = 0;
  UniqueFd event_;
};

// Hands out the I/O APIC's inputs. Thread: control. `connect` makes the line to a GSI.
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
