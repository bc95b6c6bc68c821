// The 8259s of a PC: the interval timer's interrupt through them and the local APIC's LINT0, as the
// firmware of a PC leaves it ("virtual wire").
#include "../lib/apic.h"

#define VECTOR 0x50
#define MASTER 0x20
#define SLAVE 0xa0
#define END_OF_INTERRUPT 0x20

static volatile uint32_t ticks;

static void tick(struct frame* frame) {
  (void)frame;
  ++ticks;
  out8(MASTER, END_OF_INTERRUPT);
}

static void start_pics(void) {
  out8(MASTER, 0x11);  // initialise: three more words follow
  out8(SLAVE, 0x11);
  out8(MASTER + 1, VECTOR);
  out8(SLAVE + 1, VECTOR + 8);
  out8(MASTER + 1, 4);  // where the slave is
  out8(SLAVE + 1, 2);
  out8(MASTER + 1, 1);  // 8086 mode
  out8(SLAVE + 1, 1);
  out8(MASTER + 1, 0xfe);  // only the timer
  out8(SLAVE + 1, 0xff);
}

void guest_main(void) {
  apic_enable();
  CHECK_EQUAL(apic_read(APIC_LINT0) & 0x10700, 0x700);  // ExtINT, not masked
  set_handler(VECTOR, tick);
  start_pics();
  out8(0x43, 0x34);
  out8(0x40, 11932 & 0xff);
  out8(0x40, 11932 >> 8);
  while (ticks < 3) {
    interrupts_on_and_halt();
    interrupts_off();
  }
}
