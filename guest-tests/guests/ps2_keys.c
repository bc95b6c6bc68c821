// The keyboard and the mouse, polled: tells each byte that comes, "k" or "m" and its value, until
// Escape goes up.
#include "../lib/guest.h"

#define DATA 0x60
#define STATUS 0x64
#define FULL 0x01
#define OF_MOUSE 0x20

static uint8_t answer_of_mouse(uint8_t byte) {
  out8(STATUS, 0xd4);
  out8(DATA, byte);
  while ((in8(STATUS) & FULL) == 0) relax();
  CHECK(in8(STATUS) & OF_MOUSE);
  return in8(DATA);
}

static uint8_t answer_of_keyboard(uint8_t byte) {
  out8(DATA, byte);
  while ((in8(STATUS) & FULL) == 0) relax();
  CHECK_EQUAL(in8(STATUS) & OF_MOUSE, 0);
  return in8(DATA);
}

void guest_main(void) {
  CHECK_EQUAL(answer_of_keyboard(0xf4), 0xfa);
  CHECK_EQUAL(answer_of_mouse(0xf4), 0xfa);
  put("listening\n");
  for (;;) {
    const uint8_t status = in8(STATUS);
    if ((status & FULL) == 0) continue;
    const uint8_t byte = in8(DATA);
    put_char((status & OF_MOUSE) != 0 ? 'm' : 'k');
    put_hex(byte);
    put_char('\n');
    if ((status & OF_MOUSE) == 0 && byte == 0x81) pass();
  }
}
