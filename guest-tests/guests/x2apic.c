// The local APIC by its MSRs: offered, switched on, and it interrupts. cpus=N.
#include "../lib/smp.h"

#define X2APIC (1u << 21)
#define MSR_APIC_BASE 0x1b
#define APIC_BASE_X2 (1u << 10)
#define MSR_X2APIC 0x800
#define X2_ID (MSR_X2APIC + (APIC_ID >> 4))
#define X2_EOI (MSR_X2APIC + (APIC_EOI >> 4))
#define X2_SPURIOUS (MSR_X2APIC + (APIC_SPURIOUS >> 4))
#define X2_ICR (MSR_X2APIC + (APIC_ICR_LOW >> 4))
#define X2_SELF (MSR_X2APIC + 0x3f)
#define VECTOR 0x50

static volatile uint32_t interrupts, up;

static void serve(struct frame* frame) {
  (void)frame;
  increment(&interrupts);
  write_msr(X2_EOI, 0);
}

static void switch_on(void) {
  write_msr(MSR_APIC_BASE, read_msr(MSR_APIC_BASE) | APIC_BASE_X2);
  write_msr(X2_SPURIOUS, APIC_ENABLED | SPURIOUS_VECTOR);
}

void ap_start(uint32_t index) {
  (void)index;
  switch_on();
  CHECK_EQUAL(read_msr(X2_ID), cpuid(0xb, 0).edx);
  increment(&up);
  while (true) interrupts_on_and_halt();
}

void guest_main(void) {
  const uint32_t cpus = (uint32_t)argument("cpus", 1);
  CHECK(cpuid(1, 0).ecx & X2APIC);
  set_handler(VECTOR, serve);
  if (cpus > 1) start_processors(cpus - 1);
  switch_on();
  CHECK_EQUAL(read_msr(X2_ID), 0);
  interrupts_on();
  write_msr(X2_SELF, VECTOR);
  while (interrupts < 1) relax();
  while (up < cpus - 1) relax();
  for (uint64_t id = 1; id < cpus; ++id) {
    write_msr(X2_ICR, id << 32 | ICR_FIXED | VECTOR);
    while (interrupts < 1 + id) relax();
  }
}
