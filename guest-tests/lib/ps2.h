// The i8042 and the keyboard behind it (IBM PS/2 technical reference).
#pragma once

#include "apic.h"

#define PS2_DATA 0x60
#define PS2_STATUS 0x64
#define PS2_FULL 0x01
#define KEY_VECTOR 0x50
#define KEY_PIN 1

static inline uint8_t ps2_read(void) {
  while ((in8(PS2_STATUS) & PS2_FULL) == 0) relax();
  return in8(PS2_DATA);
}

// From here on each byte of the keyboard's, in scan code set 1, is an interrupt.
static inline void keyboard_start(handler take_keys) {
  pics_off();
  apic_enable();
  set_handler(KEY_VECTOR, take_keys);
  io_apic_route(KEY_PIN, KEY_VECTOR, (uint8_t)apic_id());
  out8(PS2_DATA, 0xf4);  // the keyboard scans
  CHECK_EQUAL(ps2_read(), 0xfa);
  out8(PS2_STATUS, 0x60);  // the controller interrupts, and translates to set 1
  out8(PS2_DATA, 0x41);
}

static inline void serve_interrupts(void) {
  for (;;) {
    interrupts_on_and_halt();
    interrupts_off();
  }
}
