// A reset through the keyboard controller, the way of old.
#include "../lib/guest.h"

void guest_main(void) {
  while (in8(0x64) & 2) relax();  // its input is full
  out8(0x64, 0xfe);
  halt_forever();
}
