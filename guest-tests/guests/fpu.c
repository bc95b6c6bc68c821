// The registers of x87 and SSE keep their values through exits to the host and through sleep.
#include "../lib/apic.h"

#define VECTOR 0x50
#define FIRST_CONTROL_WORD 0x37f
#define OTHER_CONTROL_WORD 0x27f
#define FIRST_MXCSR 0x1f80
#define OTHER_MXCSR 0x3f80

static volatile uint32_t ticks;
static uint64_t before[8][2], after[8][2];

static void tick(struct frame* frame) {
  (void)frame;
  ++ticks;
  apic_eoi();
}

static uint16_t control_word(void) {
  uint16_t value;
  __asm__ volatile("fnstcw %0" : "=m"(value));
  return value;
}

// The state area of FXSAVE: the control word first, MXCSR at 24, XMM0 at 160.
static uint8_t area[512] __attribute__((aligned(16)));
static uint32_t area32(size_t offset) { return *(const uint32_t*)(area + offset); }

void guest_main(void) {
  CHECK_EQUAL(control_word(), FIRST_CONTROL_WORD);
  __asm__ volatile("fxsave %0" : "=m"(area));
  CHECK_EQUAL(area32(24), FIRST_MXCSR);

  for (size_t i = 0; i < 16; ++i) before[i / 2][i % 2] = 0x0123456789abcdef * (i + 3);
  *(uint16_t*)area = OTHER_CONTROL_WORD;
  *(uint32_t*)(area + 24) = OTHER_MXCSR;
  memcpy(area + 160, before, sizeof before);
  __asm__ volatile("fxrstor %0" : : "m"(area));

  for (int i = 0; i < 20; ++i) {
    in8(0x6000);
    read32(0xc9000000);
  }
  put("exits\n");
  apic_enable();
  set_handler(VECTOR, tick);
  apic_timer(VECTOR, APIC_TIMER_HZ / 100);
  while (ticks == 0) {
    interrupts_on_and_halt();
    interrupts_off();
  }

  memset(area, 0, sizeof area);
  __asm__ volatile("fxsave %0" : "=m"(area));
  CHECK_EQUAL(control_word(), OTHER_CONTROL_WORD);
  CHECK_EQUAL(area32(24), OTHER_MXCSR);
  memcpy(after, area + 160, sizeof after);
  for (size_t i = 0; i < 8; ++i) {
    CHECK_EQUAL(after[i][0], before[i][0]);
    CHECK_EQUAL(after[i][1], before[i][1]);
  }
}
