// Ports: every width, strings of them, and what nobody answers at reads as ones.
// The host has a device of 16 bytes of memory at the ports 0x5000..0x500f.
#include "../lib/guest.h"

#define MEMORY 0x5000
#define NOBODY 0x6000
#define LONG_STRING 5000  // more than fits in a page

static uint8_t buffer[LONG_STRING + 1];

static void check_widths(void) {
  out8(MEMORY, 0x12);
  out16(MEMORY + 2, 0x3456);
  out32(MEMORY + 4, 0x789abcde);
  CHECK_EQUAL(in8(MEMORY), 0x12);
  CHECK_EQUAL(in16(MEMORY + 2), 0x3456);
  CHECK_EQUAL(in32(MEMORY + 4), 0x789abcde);
  CHECK_EQUAL(in8(MEMORY + 5), 0xbc);
  CHECK_EQUAL(in16(MEMORY + 3), 0xde34);
}

static void check_nobody(void) {
  out32(NOBODY, 0);
  CHECK_EQUAL(in8(NOBODY), 0xff);
  CHECK_EQUAL(in16(NOBODY), 0xffff);
  CHECK_EQUAL(in32(NOBODY), 0xffffffff);
  CHECK_EQUAL(in32(MEMORY + 14), 0xffffffff);  // half of it is beyond the device
  CHECK_EQUAL(in32(0xffff), 0xffffffff);
}

static void in_string8(uint16_t port, void* to, size_t count) {
  __asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(port) : "memory");
}
static void in_string16(uint16_t port, void* to, size_t count) {
  __asm__ volatile("rep insw" : "+D"(to), "+c"(count) : "d"(port) : "memory");
}
static void in_string32(uint16_t port, void* to, size_t count) {
  __asm__ volatile("rep insl" : "+D"(to), "+c"(count) : "d"(port) : "memory");
}
static void out_string8(uint16_t port, const void* from, size_t count) {
  __asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}
static void out_string32(uint16_t port, const void* from, size_t count) {
  __asm__ volatile("rep outsl" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}

static void check_strings(void) {
  static const uint32_t words[] = {1, 2, 0x01020304};
  out_string32(MEMORY, words, 3);
  CHECK_EQUAL(in32(MEMORY), 0x01020304);  // the last one stays
  out_string8(MEMORY, "abc", 3);
  CHECK_EQUAL(in8(MEMORY), 'c');

  memset(buffer, 0, 16);
  in_string16(MEMORY, buffer, 2);
  CHECK(memcmp(buffer, "c\3c\3\0", 5) == 0);
  in_string32(MEMORY, buffer, 2);
  CHECK(memcmp(buffer, "c\3\2\1c\3\2\1\0", 9) == 0);

  in_string8(NOBODY, buffer, LONG_STRING);
  CHECK_EQUAL(buffer[0], 0xff);
  CHECK_EQUAL(buffer[4095], 0xff);
  CHECK_EQUAL(buffer[LONG_STRING - 1], 0xff);
  CHECK_EQUAL(buffer[LONG_STRING], 0);
}

void guest_main(void) {
  check_widths();
  check_nobody();
  check_strings();
}
