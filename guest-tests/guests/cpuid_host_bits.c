// CPUID shows no features that belong to the host alone, or whose state would be lost in a snapshot.
#include "../lib/guest.h"

static uint32_t bit(uint32_t word, unsigned n) { return word >> n & 1; }

static void check_empty(uint32_t function) {
  if (function < 0x80000000 && cpuid(0, 0).eax < function) return;
  if (function >= 0x80000000 && cpuid(0x80000000, 0).eax < function) return;
  const struct cpuid leaf = cpuid(function, 0);
  CHECK_EQUAL(leaf.eax | leaf.ebx | leaf.ecx | leaf.edx, 0);
}

void guest_main(void) {
  const struct cpuid basic = cpuid(1, 0);
  CHECK_EQUAL(bit(basic.ecx, 31), 1);  // a hypervisor
  CHECK_EQUAL(bit(basic.ecx, 3), 0);   // MONITOR
  CHECK_EQUAL(bit(basic.ecx, 5), 0);   // VMX
  CHECK_EQUAL(bit(basic.ecx, 15), 0);  // PDCM: performance counters
  uint64_t cr4;
  __asm__("mov %%cr4, %0" : "=r"(cr4));
  CHECK_EQUAL(bit(basic.ecx, 27), cr4 >> 18 & 1);  // OSXSAVE tells of CR4

  CHECK_EQUAL(cpuid(6, 0).ecx, 0);               // frequency feedback
  CHECK_EQUAL(cpuid(6, 0).eax & ~(1u << 2), 0);  // of power management only: the timer keeps going
  if (cpuid(0, 0).eax >= 7) {
    const struct cpuid structured = cpuid(7, 0);
    CHECK_EQUAL(bit(structured.ebx, 2), 0);   // SGX
    CHECK_EQUAL(bit(structured.ebx, 25), 0);  // processor trace
    CHECK_EQUAL(bit(structured.ecx, 30), 0);  // SGX launch configuration
    CHECK_EQUAL(bit(structured.edx, 18), 0);  // PCONFIG
    CHECK_EQUAL(bit(structured.edx, 19), 0);  // last-branch records
  }
  check_empty(0xa);         // Intel performance monitoring
  check_empty(0x12);        // SGX
  check_empty(0x14);        // processor trace
  check_empty(0x1c);        // last-branch records
  check_empty(0x8000000a);  // SVM
  check_empty(0x8000001f);  // encrypted memory
  check_empty(0x80000022);  // AMD performance monitoring

  const struct cpuid extended = cpuid(0x80000001, 0);
  CHECK_EQUAL(bit(extended.ecx, 2), 0);   // SVM
  CHECK_EQUAL(bit(extended.ecx, 23), 0);  // performance counters: cores,
  CHECK_EQUAL(bit(extended.ecx, 24), 0);  // north bridge,
  CHECK_EQUAL(bit(extended.ecx, 28), 0);  // last-level cache
}
