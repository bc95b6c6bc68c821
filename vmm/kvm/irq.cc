#include "vmm/kvm/irq.h"

#include <utility>

#include <fmt/core.h>

#include "vmm/base/error.h"
#include "vmm/memory/layout.h"

namespace vireo {

namespace {

// Inputs that PC software expects in place; never handed out to others. 0 is the timer, 2 the
// cascade of the two PICs.
const std::set<uint32_t> kReserved{0, 2};
const std::set<uint32_t> kLegacy{layout::kGsiKeyboard, layout::kGsiCom1, layout::kGsiRtc,
                                 layout::kGsiPower, layout::kGsiMouse};

}  // namespace

IrqAllocator::IrqAllocator(Connect connect) : connect_(std::move(connect)), legacy_(kLegacy) {
  for (uint32_t gsi = 0; gsi < layout::kGsiCount; ++gsi)
    if (!kReserved.contains(gsi) && !kLegacy.contains(gsi)) free_.insert(gsi);
}

IrqAllocator::Claim IrqAllocator::claim(uint32_t gsi, const std::string& who) {
  if (legacy_.erase(gsi) + free_.erase(gsi) == 0)
    throw ConfigError(fmt::format("{}: interrupt {} is taken", who, gsi));
  return {gsi, connect_(gsi)};
}

IrqAllocator::Claim IrqAllocator::claim_free(const std::string& who) {
  if (free_.empty())
    throw ConfigError(fmt::format("{}: no interrupt input is left: too many devices", who));
  const uint32_t gsi = *std::prev(free_.end());
  free_.erase(gsi);
  return {gsi, connect_(gsi)};
}

}  // namespace vireo
