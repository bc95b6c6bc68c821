// KVM's paravirtual clock: it is offered, goes forwards on every processor, never backwards, and
// knows what day it is. cpus=N.
#include "../lib/smp.h"

#define KVM_LEAF 0x40000000
#define FEATURE_CLOCK (1u << 3)
#define MSR_WALL_CLOCK 0x4b564d00
#define MSR_SYSTEM_TIME 0x4b564d01
#define ROUNDS 10

struct pvclock {  // Documentation/virt/kvm/x86/msr.rst
  volatile uint32_t version;
  uint32_t pad;
  volatile uint64_t tsc_timestamp, system_time;
  volatile uint32_t mul;
  volatile int8_t shift;
  volatile uint8_t flags;
  uint8_t pad2[2];
} __attribute__((aligned(64)));

static struct pvclock clocks[64];
static struct {
  volatile uint32_t version, seconds, nanoseconds;
} wall __attribute__((aligned(16)));
static volatile uint64_t latest;  // of all processors, when its turn has come
static volatile uint32_t turn, finished;

static uint64_t nanoseconds(const struct pvclock* clock) {
  uint32_t version;
  uint64_t now;
  do {
    while ((version = clock->version) & 1) relax();
    uint64_t delta = read_tsc() - clock->tsc_timestamp;
    delta = clock->shift < 0 ? delta >> -clock->shift : delta << clock->shift;
    now = clock->system_time + (uint64_t)(((unsigned __int128)delta * clock->mul) >> 32);
  } while (version != clock->version);
  return now;
}

// The processors read the clock in turns: none may see a time before what another has seen.
static void watch(uint32_t index, uint32_t cpus) {
  struct pvclock* clock = &clocks[index];
  write_msr(MSR_SYSTEM_TIME, (uintptr_t)clock | 1);
  for (uint32_t round = 0; round < ROUNDS; ++round) {
    while (turn % cpus != index) relax();
    const uint64_t now = nanoseconds(clock);
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
  CHECK(cpuid(KVM_LEAF + 1, 0).eax & FEATURE_CLOCK);
  const uint32_t cpus = (uint32_t)argument("cpus", 1);
  if (cpus > 1) start_processors(cpus - 1);
  watch(0, cpus);
  while (finished < cpus) relax();

  write_msr(MSR_WALL_CLOCK, (uintptr_t)&wall);
  CHECK_EQUAL(wall.version & 1, 0);
  CHECK(wall.seconds > 1704067200);  // 2024
  put("wall clock ");
  put_number(wall.seconds + (uint32_t)(nanoseconds(&clocks[0]) / 1000000000));
  put("\n");
}
