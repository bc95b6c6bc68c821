#include "vmm/kvm/irq.h"

#include <set>

#include <catch2/catch.hpp>

#include "vmm/base/bytes.h"
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

TEST_CASE("a line that goes nowhere may be raised; one with a descriptor counts") {
  IrqLine().raise();
  const IrqLine line(make_eventfd());
  line.raise();
  line.raise();
  uint64_t count = 0;
  CHECK_FALSE(read_all(line.fd(), writable_bytes_of(count)));
  CHECK(count == 2);
}

}  // namespace
}  // namespace vireo
