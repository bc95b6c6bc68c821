// The local APIC's timer: once, and again and again.
#include "../lib/apic.h"

#define VECTOR 0x50
#define PERIOD (APIC_TIMER_HZ / 100)

static volatile uint32_t ticks;

static void tick(struct frame* frame) {
  (void)frame;
  ++ticks;
  apic_eoi();
}

static void sleep_until(uint32_t wanted) {
  while (ticks < wanted) {
    interrupts_on_and_halt();
    interrupts_off();
  }
}

void guest_main(void) {
  apic_enable();
  set_handler(VECTOR, tick);
  apic_timer(VECTOR, PERIOD);
  sleep_until(1);
  CHECK_EQUAL(apic_read(APIC_TIMER_CURRENT), 0);  // it does not start again by itself
  ticks = 0;
  apic_timer(APIC_TIMER_PERIODIC | VECTOR, PERIOD);
  sleep_until(5);
  CHECK(apic_read(APIC_TIMER_CURRENT) <= PERIOD);
}
