#include "vmm/cpu/state.h"

#include <catch2/catch.hpp>

#include "vmm/testing/state_contract.h"

namespace vireo {
namespace {

VcpuState::Bytes some(size_t count) {
  return VcpuState::Bytes(count, std::byte{0x5a});
}

TEST_CASE("the state of a vCPU keeps the contract") {
  VcpuState busy;
  busy.regs = some(144);
  busy.sregs = some(312);
  busy.xsave = some(576);
  busy.xcrs = some(16);
  busy.debug_regs = some(128);
  busy.lapic = some(1024);
  busy.events = some(64);
  busy.mp_state = some(4);
  busy.msrs = {{0x10, 1}, {0x6e0, ~uint64_t{0}}};
  busy.tsc_khz = 3'000'000;
  testing::check_state_contract<VcpuState>({{}, busy});
}

TEST_CASE("the state of a VM keeps the contract") {
  VmState busy;
  busy.master_pic = busy.slave_pic = busy.ioapic = some(520);
  busy.pit = some(112);
  busy.kvmclock_ns = 1;
  testing::check_state_contract<VmState>({{}, busy});
}

}  // namespace
}  // namespace vireo
