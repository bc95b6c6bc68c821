// Runs for ever without an exit: cpus=N processors.
#include "../lib/smp.h"

static void spin(void) {
  while (true) __asm__ volatile("" : : : "memory");
}

void ap_start(uint32_t index) {
  (void)index;
  spin();
}

void guest_main(void) {
  const uint32_t cpus = (uint32_t)argument("cpus", 1);
  if (cpus > 1) start_processors(cpus - 1);
  put("running\n");
  spin();
}
