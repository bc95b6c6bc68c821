// The serial port without interrupts, both ways: what is typed comes back, until an end of line.
#include "../lib/guest.h"

void guest_main(void) {
  out8(COM1 + 4, 3);  // DTR and RTS: it may send
  put("type:");
  char c;
  do {
    c = get_char();
    put_char(c);
  } while (c != '\n');
}
