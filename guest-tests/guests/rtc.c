// The CMOS clock: prints the date and time it tells, which the host compares with its own.
#include "../lib/guest.h"

static uint8_t cmos(uint8_t index) {
  out8(0x70, index);
  return in8(0x71);
}

static uint32_t number(uint8_t index) {
  const uint8_t value = cmos(index);
  const bool binary = cmos(0xb) & 4;
  return binary ? value : (uint32_t)(value >> 4) * 10 + (value & 15);
}

static void put_two(uint32_t value) {
  put_char((char)('0' + value / 10 % 10));
  put_char((char)('0' + value % 10));
}

static struct moment {
  uint32_t century, year, month, day, hour, minute, second;
} now(void) {
  while (cmos(0xa) & 0x80) relax();
  return (struct moment){number(0x32), number(9), number(8), number(7),
                         number(4),    number(2), number(0)};
}

void guest_main(void) {
  CHECK_EQUAL(cmos(0xd) & 0x80, 0x80);  // the battery is good
  CHECK_EQUAL(cmos(0xb) & 2, 2);        // 24 hours
  // Twice the same: no second has passed in between.
  struct moment first, second;
  do {
    first = now();
    second = now();
  } while (memcmp(&first, &second, sizeof first) != 0);
  put_two(first.century);
  put_two(first.year);
  put("-");
  put_two(first.month);
  put("-");
  put_two(first.day);
  put(" ");
  put_two(first.hour);
  put(":");
  put_two(first.minute);
  put(":");
  put_two(first.second);
  put("\n");
}
