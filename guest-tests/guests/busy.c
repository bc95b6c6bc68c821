// All processors make exits without pause, and say nothing: cpus=N.
#include "../lib/smp.h"

// A register of its own for each processor, so that a lost or doubled access shows.
static void work(uint32_t index) {
  const uintptr_t cell = 0xc8000ff8 + index;
  const uint16_t port = (uint16_t)(0x5000 + index);
  for (uint8_t i = 0;; ++i) {
    const uint8_t other = (uint8_t)~i;
    write8(cell, i);
    out8(port, other);
    CHECK_EQUAL(read8(cell), i);
    CHECK_EQUAL(in8(port), other);
  }
}

void ap_start(uint32_t index) { work(index); }

void guest_main(void) {
  const uint32_t cpus = (uint32_t)argument("cpus", 1);
  if (cpus > 1) start_processors(cpus - 1);
  put("working\n");
  work(0);
}
