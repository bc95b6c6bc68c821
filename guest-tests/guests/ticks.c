// Counts the interrupts of its timer on the serial port, a line each, and says what is typed; 'q' ends
// it. All the while it checks that nothing it relies on is lost or turned back: counters of all
// processors, clocks, vector registers, devices' registers. cpus=N.
#include "../lib/kvmclock.h"
#include "../lib/smp.h"

#define TIMER_VECTOR 0x50
#define SERIAL_VECTOR 0x51
#define SERIAL_PIN 4
#define PERIOD (APIC_TIMER_HZ / 50)
#define MAX_CPUS 64
#define SCRATCH (COM1 + 7)

static volatile uint32_t counts[MAX_CPUS];  // by APIC id
static volatile char typed;
static uint8_t vectors[512] __attribute__((aligned(16)));  // as FXSAVE has them
static struct kvm_clock clock;

static void tick(struct frame* frame) {
  (void)frame;
  increment(&counts[apic_id()]);
  apic_eoi();
}

static void serial(struct frame* frame) {
  (void)frame;
  while ((in8(COM1 + 2) & 1) == 0)
    while (in8(COM1 + 5) & 1) typed = (char)in8(COM1);
  apic_eoi();
}

static void start_timer(void) {
  apic_enable();
  apic_timer(APIC_TIMER_PERIODIC | TIMER_VECTOR, PERIOD);
}

void ap_start(uint32_t index) {
  (void)index;
  start_timer();
  while (true) interrupts_on_and_halt();
}

static void fill_vectors(void) {
  __asm__ volatile("fxsave %0" : "=m"(vectors));
  for (size_t i = 160; i < 160 + 8 * 16; ++i) vectors[i] = (uint8_t)(i * 37);
  __asm__ volatile("fxrstor %0" : : "m"(vectors));
}

static void check_vectors(void) {
  static uint8_t now[512] __attribute__((aligned(16)));
  __asm__ volatile("fxsave %0" : "=m"(now));
  CHECK(memcmp(now + 160, vectors + 160, 8 * 16) == 0);
}

static void check_clocks(void) {
  static uint64_t last_clock, last_tsc;
  const uint64_t now = clock_nanoseconds(&clock);
  CHECK(now > last_clock);
  last_clock = now;
  const uint64_t tsc = read_tsc();
  CHECK(tsc > last_tsc);
  last_tsc = tsc;
}

static void check_devices(void) {
  CHECK_EQUAL(in8(SCRATCH), 0xa5);
  CHECK_EQUAL(in32(0x5000), 0x12345678);
  CHECK_EQUAL(io_apic_read(0x10 + 2 * SERIAL_PIN), SERIAL_VECTOR);
}

// Every other processor's timer goes on, too.
static void check_others(uint32_t cpus) {
  static uint32_t seen[MAX_CPUS];
  for (uint32_t id = 1; id < cpus; ++id) {
    while (counts[id] == seen[id]) relax();
    CHECK(counts[id] > seen[id]);
    seen[id] = counts[id];
  }
}

static void start_serial(void) {
  set_handler(SERIAL_VECTOR, serial);
  io_apic_route(SERIAL_PIN, SERIAL_VECTOR, 0);
  out8(COM1 + 2, 7);    // FIFOs
  out8(COM1 + 4, 0xb);  // DTR, RTS, OUT2
  out8(COM1 + 1, 1);    // received data
  out8(SCRATCH, 0xa5);
}

void guest_main(void) {
  const uint32_t cpus = (uint32_t)argument("cpus", 1);
  pics_off();
  set_handler(TIMER_VECTOR, tick);
  start_clock(&clock);
  fill_vectors();
  out32(0x5000, 0x12345678);
  start_serial();
  if (cpus > 1) start_processors(cpus - 1);
  start_timer();
  for (uint32_t told = 0; typed != 'q';) {
    interrupts_on_and_halt();
    interrupts_off();
    if (typed && typed != 'q') {
      put("typed ");
      put_char(typed);
      put("\n");
      typed = 0;
    }
    if (counts[0] == told) continue;
    interrupts_on();
    check_vectors();
    check_clocks();
    check_devices();
    check_others(cpus);
    put("tick ");
    put_number(++told);
    put("\n");
    interrupts_off();
  }
}
