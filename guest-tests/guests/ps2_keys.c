// The keyboard and the mouse, polled: tells each byte that comes, "k" or "m" and its value, until
// Escape goes up.
#include "../lib/guest.h"
#include "../lib/ps2.h"

#define OF_MOUSE 0x20

static int from_mouse(void) {
  while ((in8(PS2_STATUS) & PS2_FULL) == 0) relax();
  return (in8(PS2_STATUS) & OF_MOUSE) != 0;
}

static void start_keyboard(void) {
  out8(PS2_DATA, 0xf4);
  CHECK(!from_mouse());
  CHECK_EQUAL(ps2_read(), 0xfa);
}

static void start_mouse(void) {
  out8(PS2_STATUS, 0xd4);
  out8(PS2_DATA, 0xf4);
  CHECK(from_mouse());
  CHECK_EQUAL(ps2_read(), 0xfa);
}

void guest_main(void) {
  start_keyboard();
  start_mouse();
  put("listening\n");
  for (;;) {
    const int mouse = from_mouse();
    const uint8_t byte = ps2_read();
    put_char(mouse ? 'm' : 'k');
    put_hex(byte);
    put_char('\n');
    if (!mouse && byte == 0x81) pass();
  }
}
