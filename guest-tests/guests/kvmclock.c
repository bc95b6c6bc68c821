// KVM's paravirtual clock: it is offered, goes forwards on every processor, never backwards, and
// knows what day it is. cpus=N.
#include "../lib/kvmclock.h"
#include "../lib/smp.h"

#define ROUNDS 10

static struct kvm_clock clocks[64];
static struct {
  volatile uint32_t version, seconds, nanoseconds;
} wall __attribute__((aligned(16)));
static volatile uint64_t latest;  // of all processors, when its turn has come
static volatile uint32_t turn, finished;

// The processors read the clock in turns: none may see a time before what another has seen.
static void watch(uint32_t index, uint32_t cpus) {
  struct kvm_clock* clock = &clocks[index];
  start_clock(clock);
  for (uint32_t round = 0; round < ROUNDS; ++round) {
    while (turn % cpus != index) relax();
    const uint64_t now = clock_nanoseconds(clock);
    CHECK(now > 0);
    CHECK(now >= latest);
    latest = now;
    increment(&turn);
  }
  increment(&finished);
}

void ap_start(uint32_t index) { watch(index, (uint32_t)argument("cpus", 1)); }

void guest_main(void) {
  const struct cpuid signature = cpuid(KVM_LEAF, 0);
  CHECK_EQUAL(signature.ebx, 0x4b4d564b);  // "KVMKVMKVM"
  CHECK(cpuid(KVM_LEAF + 1, 0).eax & KVM_FEATURE_CLOCK);
  const uint32_t cpus = (uint32_t)argument("cpus", 1);
  if (cpus > 1) start_processors(cpus - 1);
  watch(0, cpus);
  while (finished < cpus) relax();

  write_msr(MSR_KVM_WALL_CLOCK, (uintptr_t)&wall);
  CHECK_EQUAL(wall.version & 1, 0);
  CHECK(wall.seconds > 1704067200);  // 2024
}
