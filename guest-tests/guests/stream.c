// Makes exits without pause, each with a number that only counts right when no I/O instruction is
// lost or done twice: on the serial port, and in the host's counters at port 0x5100 and at 0xc8002000.
#include "../lib/guest.h"

#define COUNTER_PORT 0x5100
#define COUNTER_ADDRESS 0xc8002000

void guest_main(void) {
  for (uint32_t number = 1;; ++number) {
    CHECK_EQUAL(in32(COUNTER_PORT), number);
    CHECK_EQUAL(read32(COUNTER_ADDRESS), number);
    put_number(number);
    put("\n");
  }
}
