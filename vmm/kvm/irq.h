// Interrupt inputs of the guest, as devices see them.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

namespace vireo {

// An interrupt controller's inputs, ours or KVM's. Thread: any.
class IrqInputs {
 public:
  virtual ~IrqInputs() = default;
  virtual void raise(uint32_t input) noexcept = 0;
  virtual void set(uint32_t input, bool high) noexcept = 0;
};

// One of them; a default-constructed one goes nowhere. The controller outlives it. Thread: any.
// How a device uses its line is its own matter, for the line's life: each raise() is one interrupt;
// or set() tells the level. That is one interrupt when it rises, if the guest has the input
// edge-triggered, and one after the other while it is high, if the guest has it level-triggered.
class IrqLine {
 public:
  IrqLine() = default;
  IrqLine(IrqInputs& inputs, uint32_t input) noexcept : inputs_(&inputs), input_(input) {}
  void raise() const noexcept {
    if (inputs_ != nullptr) inputs_->raise(input_);
  }
  void set(bool high) const noexcept {
    if (inputs_ != nullptr) inputs_->set(input_, high);
  }

 private:
  IrqInputs* inputs_ = nullptr;
  uint32_t input_ = 0;
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
