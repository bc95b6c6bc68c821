// Sleeps for ever with interrupts off.
#include "../lib/guest.h"

void guest_main(void) {
  put("asleep\n");
  halt_forever();
}
