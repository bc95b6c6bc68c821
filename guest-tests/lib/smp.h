// The other processors: 64-bit guests only.
#pragma once

#include "apic.h"

#define TRAMPOLINE 0x70000u  // below 1 MiB, in memory that the loader left free

extern const char trampoline[], trampoline_end[];
extern volatile uint32_t ap_count;

// What a processor runs once it is up; `index` counts from 1 in the order of their arrival.
void ap_start(uint32_t index);

// INIT, SIPI, SIPI to all others (multiprocessor specification 1.4, B.4); waits until `count` came.
static inline void start_processors(uint32_t count) {
  memcpy((void*)(uintptr_t)TRAMPOLINE, trampoline, (size_t)(trampoline_end - trampoline));
  apic_enable();
  apic_send(0, ICR_ALL_OTHERS | ICR_FIXED | ICR_INIT);
  apic_send(0, ICR_ALL_OTHERS | ICR_FIXED | ICR_STARTUP | TRAMPOLINE >> 12);
  apic_send(0, ICR_ALL_OTHERS | ICR_FIXED | ICR_STARTUP | TRAMPOLINE >> 12);
  while (ap_count < count) relax();
}

static inline void increment(volatile uint32_t* counter) {
  __asm__ volatile("lock incl %0" : "+m"(*counter) : : "memory");
}
