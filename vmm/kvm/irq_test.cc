#include "vmm/kvm/irq.h"

#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo {
namespace {

IrqAllocator allocator() {
  return IrqAllocator([](uint32_t) { return IrqLine(); });
}

TEST_CASE("a fixed input is claimed once") {
  auto irqs = allocator();
  CHECK(irqs.claim(layout::kGsiCom1, "com1").gsi == 4);
  CHECK_THROWS_WITH(irqs.claim(layout::kGsiCom1, "other"), "other: interrupt 4 is taken");
  CHECK_THROWS_AS(irqs.claim(0, "timer"), ConfigError);
  CHECK_THROWS_AS(irqs.claim(layout::kGsiCount, "beyond"), ConfigError);
}

TEST_CASE("free inputs are all different, none of them a legacy device's") {
  auto irqs = allocator();
  std::set<uint32_t> seen;
  for (int i = 0; i < 17; ++i) CHECK(seen.insert(irqs.claim_free("virtio").gsi).second);
  for (const uint32_t legacy : {0U, 1U, 2U, 4U, 8U, 9U, 12U}) CHECK_FALSE(seen.contains(legacy));
  CHECK_THROWS_AS(irqs.claim_free("one too many"), ConfigError);
}

class Inputs final : public IrqInputs {
 public:
  std::vector<std::string> calls;

 private:
  void raise(uint32_t input) noexcept override { calls.push_back(std::to_string(input) + " edge"); }
  void set(uint32_t input, bool high) noexcept override {
    calls.push_back(std::to_string(input) + (high ? " high" : " low"));
  }
};

TEST_CASE("a line that goes nowhere may be raised; one of a controller's reaches its input") {
  IrqLine().raise();
  IrqLine().set(true);
  Inputs inputs;
  const IrqLine line(inputs, 7);
  line.raise();
  line.set(true);
  line.set(false);
  CHECK(inputs.calls == std::vector<std::string>{"7 edge", "7 high", "7 low"});
}

}  // namespace
}  // namespace vireo
