// The local APIC's timer in TSC-deadline mode: no interrupt before the deadline, one at it.
#include "../lib/apic.h"

#define VECTOR 0x50
#define TSC_DEADLINE (1u << 24)
#define MSR_TSC_DEADLINE 0x6e0

static volatile uint32_t ticks;
static volatile uint64_t tick_time;

static void tick(struct frame* frame) {
  (void)frame;
  tick_time = read_tsc();
  ++ticks;
  apic_eoi();
}

void guest_main(void) {
  if (!(cpuid(1, 0).ecx & TSC_DEADLINE)) {
    put("no TSC deadline\n");
    return;
  }
  apic_enable();
  set_handler(VECTOR, tick);
  apic_write(APIC_TIMER, APIC_TIMER_TSC_DEADLINE | VECTOR);
  __asm__ volatile("lock orl $0, (%%rsp)" : : : "memory");  // SDM volume 3, 11.5.4.1
  for (uint32_t round = 1; round <= 3; ++round) {
    const uint64_t deadline = read_tsc() + 20000000;
    write_msr(MSR_TSC_DEADLINE, deadline);
    while (ticks < round) {
      interrupts_on_and_halt();
      interrupts_off();
    }
    CHECK(tick_time >= deadline);
    CHECK_EQUAL(read_msr(MSR_TSC_DEADLINE), 0);  // it disarms itself
  }
  put("deadlines met\n");
}
