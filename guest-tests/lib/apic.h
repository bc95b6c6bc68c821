// The local APIC in its memory-mapped form, and the I/O APIC (SDM volume 3, chapter 11; 82093AA).
#pragma once

#include "guest.h"

#define LOCAL_APIC 0xfee00000
#define IO_APIC 0xfec00000

enum apic_register {
  APIC_ID = 0x20,
  APIC_EOI = 0xb0,
  APIC_SPURIOUS = 0xf0,
  APIC_IRR = 0x200,
  APIC_ICR_LOW = 0x300,
  APIC_ICR_HIGH = 0x310,
  APIC_TIMER = 0x320,
  APIC_LINT0 = 0x350,
  APIC_TIMER_INITIAL = 0x380,
  APIC_TIMER_CURRENT = 0x390,
  APIC_TIMER_DIVIDE = 0x3e0,
};
#define APIC_ENABLED 0x100
#define APIC_MASKED 0x10000
#define APIC_TIMER_PERIODIC 0x20000
#define APIC_TIMER_TSC_DEADLINE 0x40000
#define APIC_DIVIDE_BY_1 0xb
#define APIC_TIMER_HZ 1000000000  // KVM's, with a divider of 1

#define ICR_FIXED 0x4000  // level: assert
#define ICR_SELF 0x40000  // destination shorthands
#define ICR_ALL_OTHERS 0xc0000
#define ICR_INIT 0x500
#define ICR_STARTUP 0x600
#define ICR_BUSY 0x1000

#define SPURIOUS_VECTOR 0xff

static inline uint32_t apic_read(enum apic_register reg) {
  return read32(LOCAL_APIC + reg);
}
static inline void apic_write(enum apic_register reg, uint32_t value) {
  write32(LOCAL_APIC + reg, value);
}
static inline uint32_t apic_id(void) {
  return apic_read(APIC_ID) >> 24;
}
static inline void apic_eoi(void) {
  apic_write(APIC_EOI, 0);
}
static inline void apic_enable(void) {
  apic_write(APIC_SPURIOUS, APIC_ENABLED | SPURIOUS_VECTOR);
}

static inline void apic_send(uint32_t destination, uint32_t command) {
  while (apic_read(APIC_ICR_LOW) & ICR_BUSY) relax();
  apic_write(APIC_ICR_HIGH, destination << 24);
  apic_write(APIC_ICR_LOW, command);
}

static inline void apic_timer(uint32_t mode_and_vector, uint32_t count) {
  apic_write(APIC_TIMER_DIVIDE, APIC_DIVIDE_BY_1);
  apic_write(APIC_TIMER, mode_and_vector);
  apic_write(APIC_TIMER_INITIAL, count);
}

static inline uint32_t io_apic_read(uint8_t index) {
  write32(IO_APIC, index);
  return read32(IO_APIC + 0x10);
}
static inline void io_apic_write(uint8_t index, uint32_t value) {
  write32(IO_APIC, index);
  write32(IO_APIC + 0x10, value);
}
// Nothing comes through the two 8259s.
static inline void pics_off(void) {
  out8(0x21, 0xff);
  out8(0xa1, 0xff);
}
#define IO_APIC_LEVEL 0x8000
// Active high, fixed, to one processor; edge-triggered, but with IO_APIC_LEVEL.
static inline void io_apic_route(uint8_t pin, uint32_t vector_and_trigger, uint8_t destination) {
  io_apic_write((uint8_t)(0x11 + 2 * pin), (uint32_t)destination << 24);
  io_apic_write((uint8_t)(0x10 + 2 * pin), vector_and_trigger);
}
