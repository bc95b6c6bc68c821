// KVM's paravirtual clock (Documentation/virt/kvm/x86/msr.rst of the kernel).
#pragma once

#include "guest.h"

#define KVM_LEAF 0x40000000
#define KVM_FEATURE_CLOCK (1u << 3)
#define MSR_KVM_WALL_CLOCK 0x4b564d00
#define MSR_KVM_SYSTEM_TIME 0x4b564d01

struct kvm_clock {
  volatile uint32_t version;
  uint32_t pad;
  volatile uint64_t tsc_timestamp, system_time;
  volatile uint32_t mul;
  volatile int8_t shift;
  volatile uint8_t flags;
  uint8_t pad2[2];
} __attribute__((aligned(64)));

static inline void start_clock(struct kvm_clock* clock) {
  write_msr(MSR_KVM_SYSTEM_TIME, (uintptr_t)clock | 1);
}

// Since the machine was made.
static inline uint64_t clock_nanoseconds(const struct kvm_clock* clock) {
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
