// The interval timer (8254) counts down and interrupts through the I/O APIC.
#include "../lib/apic.h"

#define VECTOR 0x50
#define PIN 0
#define PIT_DATA 0x40
#define PIT_COMMAND 0x43
#define PIT_LATCH_0 0x00
#define PIT_RATE_GENERATOR 0x34  // channel 0, both bytes, mode 2
#define COUNT 11932              // 100 Hz

static volatile uint32_t ticks;

static void tick(struct frame* frame) {
  (void)frame;
  ++ticks;
  apic_eoi();
}

static uint32_t count_now(void) {
  out8(PIT_COMMAND, PIT_LATCH_0);
  const uint32_t low = in8(PIT_DATA);
  return low | (uint32_t)in8(PIT_DATA) << 8;
}

void guest_main(void) {
  pics_off();
  apic_enable();
  set_handler(VECTOR, tick);
  io_apic_route(PIN, VECTOR, (uint8_t)apic_id());
  out8(PIT_COMMAND, PIT_RATE_GENERATOR);
  out8(PIT_DATA, COUNT & 0xff);
  out8(PIT_DATA, COUNT >> 8);
  const uint32_t first = count_now();
  CHECK(first <= COUNT);
  while (count_now() == first) relax();
  while (ticks < 3) {
    interrupts_on_and_halt();
    interrupts_off();
  }
}
