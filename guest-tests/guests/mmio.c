// Memory-mapped I/O: every width, accesses across a page, and what nobody answers at reads as ones.
// The host has a device of 16 bytes of memory at 0xc8000ff8.
#include "../lib/guest.h"

#define MEMORY 0xc8000ff8  // lies across a page's end
#define NOBODY 0xc9000000

static void check_widths(void) {
  write8(MEMORY, 0x12);
  write16(MEMORY + 2, 0x3456);
  write32(MEMORY + 4, 0x789abcde);
  CHECK_EQUAL(read8(MEMORY), 0x12);
  CHECK_EQUAL(read16(MEMORY + 2), 0x3456);
  CHECK_EQUAL(read32(MEMORY + 4), 0x789abcde);
  CHECK_EQUAL(read16(MEMORY + 3), 0xde34);
  write64(MEMORY, 0x0123456789abcdef);
  CHECK_EQUAL(read64(MEMORY), 0x0123456789abcdef);
  CHECK_EQUAL(read8(MEMORY + 7), 0x01);
}

static void check_across_pages(void) {
  write64(MEMORY + 5, 0x1122334455667788);
  CHECK_EQUAL(read64(MEMORY + 5), 0x1122334455667788);
  CHECK_EQUAL(read8(MEMORY + 8), 0x55);
}

static void check_nobody(void) {
  write64(NOBODY, 0);
  CHECK_EQUAL(read8(NOBODY), 0xff);
  CHECK_EQUAL(read16(NOBODY), 0xffff);
  CHECK_EQUAL(read32(NOBODY), 0xffffffff);
  CHECK_EQUAL(read64(NOBODY), 0xffffffffffffffff);
  CHECK_EQUAL(read64(NOBODY + 0xffc), 0xffffffffffffffff);
  CHECK_EQUAL(read32(MEMORY + 14), 0xffffffff);  // half of it is beyond the device
}

static void check_instructions(void) {
  uint64_t copy = 0;
  memcpy(&copy, (const void*)(uintptr_t)MEMORY, 8);
  CHECK_EQUAL(copy, read64(MEMORY));
  write32(MEMORY, 5);
  __asm__ volatile("orl $8, %0" : "+m"(*(volatile uint32_t*)(uintptr_t)MEMORY));
  CHECK_EQUAL(read32(MEMORY), 13);
}

void guest_main(void) {
  check_widths();
  check_across_pages();
  check_nobody();
  check_instructions();
}
