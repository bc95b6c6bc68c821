// Start-up of all processors by INIT-SIPI-SIPI, and interrupts between them: cpus=N.
#include "../lib/smp.h"

#define VECTOR 0x50
#define MAX_CPUS 256

static volatile uint32_t ready;
static volatile uint32_t pings[MAX_CPUS];  // by APIC id
static volatile uint32_t answers;

static void ping(struct frame* frame) {
  (void)frame;
  increment(&pings[apic_id()]);
  apic_eoi();
  if (apic_id() == 0) return;
  apic_send(0, ICR_FIXED | VECTOR);
  increment(&answers);
}

void ap_start(uint32_t index) {
  (void)index;
  apic_enable();
  increment(&ready);
  while (true) interrupts_on_and_halt();
}

void guest_main(void) {
  const uint32_t cpus = (uint32_t)argument("cpus", 1);
  set_handler(VECTOR, ping);
  start_processors(cpus - 1);
  while (ready < cpus - 1) relax();
  CHECK_EQUAL(ap_count, cpus - 1);
  CHECK_EQUAL(apic_id(), 0);
  interrupts_on();
  for (uint32_t id = 1; id < cpus; ++id) {
    apic_send(id, ICR_FIXED | VECTOR);
    while (answers < id) relax();
    CHECK_EQUAL(pings[id], 1);
    while (pings[0] < id) relax();
  }
  CHECK_EQUAL(pings[0], cpus - 1);

  apic_send(0, ICR_ALL_OTHERS | ICR_FIXED | VECTOR);
  while (answers < 2 * (cpus - 1)) relax();
  for (uint32_t id = 1; id < cpus; ++id) CHECK_EQUAL(pings[id], 2);
}
