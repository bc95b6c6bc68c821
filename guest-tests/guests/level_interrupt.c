// The clock's interrupt with its input level-triggered: it comes again and again while the clock's
// line is high, also when that rose while the input was masked, and no more when it is low.
#include "../lib/apic.h"

#define VECTOR 0x50
#define PIN 8
#define MASKED 0x10000
#define REGISTER_A 10
#define REGISTER_B 11
#define REGISTER_C 12
#define PERIODIC 0x40
#define INTERRUPTS_AT_ONCE 3  // that the handler lets pass before it lowers the line

static volatile uint32_t count;

static uint8_t cmos_read(uint8_t index) {
  out8(0x70, index);
  return in8(0x71);
}
static void cmos_write(uint8_t index, uint8_t value) {
  out8(0x70, index);
  out8(0x71, value);
}

static void serve(struct frame* frame) {
  (void)frame;
  if (++count % INTERRUPTS_AT_ONCE == 0) {
    cmos_write(REGISTER_B, (uint8_t)(cmos_read(REGISTER_B) & ~PERIODIC));
    CHECK(cmos_read(REGISTER_C) & PERIODIC);
  }
  apic_eoi();
}

static void raise_line(void) {
  cmos_write(REGISTER_B, cmos_read(REGISTER_B) | PERIODIC);
}

// Reads of a register are exits to the host: some milliseconds, whatever the processor.
static void wait_a_while(void) {
  for (int i = 0; i < 20000; ++i) cmos_read(REGISTER_A);
}

static void expect_interrupts(uint32_t wanted) {
  while (count < wanted) {
    interrupts_on_and_halt();
    interrupts_off();
  }
  __asm__ volatile("sti");
  wait_a_while();
  __asm__ volatile("cli");
  CHECK_EQUAL(count, wanted);
}

void guest_main(void) {
  pics_off();
  apic_enable();
  set_handler(VECTOR, serve);
  cmos_write(REGISTER_A, 0x26);  // 1024 Hz
  cmos_read(REGISTER_C);
  const uint8_t self = (uint8_t)apic_id();
  io_apic_route(PIN, IO_APIC_LEVEL | VECTOR, self);
  raise_line();
  expect_interrupts(INTERRUPTS_AT_ONCE);

  io_apic_route(PIN, MASKED | IO_APIC_LEVEL | VECTOR, self);
  raise_line();
  wait_a_while();
  CHECK_EQUAL(count, INTERRUPTS_AT_ONCE);
  io_apic_route(PIN, IO_APIC_LEVEL | VECTOR, self);
  expect_interrupts(2 * INTERRUPTS_AT_ONCE);
}
