// Reads and writes random ports in all widths and as strings: count=N times, from seed=S. The ports
// that end the machine are left out, so that it comes to the end.
#include "../lib/guest.h"

static bool ends_machine(uint32_t port) {
  return (port >= DEBUG_EXIT - 3 && port <= DEBUG_EXIT) || (port >= 0x5fd && port <= 0x602) ||
         (port >= 0x61 && port <= 0x64);
}

static uint16_t random_port(void) {
  // Half of them where the devices are.
  static const uint16_t known[] = {0x20, 0x40, 0x60, 0x70, 0x3f8, 0x4d0, 0x600, 0xcf8, 0x5000};
  uint32_t port;
  do {
    port = random32() % 0x10000;
    if (port & 1) port = known[port / 2 % (sizeof known / 2)] + random32() % 8;
  } while (ends_machine(port));
  return (uint16_t)port;
}

static void access(void) {
  static uint8_t buffer[64];
  const uint16_t port = random_port();
  const uint32_t value = random32();
  void* at = buffer;
  size_t count = random32() % (sizeof buffer / 4);
  switch (random32() % 9) {
    case 0: in8(port); break;
    case 1: in16(port); break;
    case 2: in32(port); break;
    case 3: out8(port, (uint8_t)value); break;
    case 4: out16(port, (uint16_t)value); break;
    case 5: out32(port, value); break;
    case 6:
      __asm__ volatile("rep insl" : "+D"(at), "+c"(count) : "d"(port) : "memory");
      break;
    case 7:
      __asm__ volatile("rep outsl" : "+S"(at), "+c"(count) : "d"(port) : "memory");
      break;
    default:
      __asm__ volatile("rep outsw" : "+S"(at), "+c"(count) : "d"(port) : "memory");
      break;
  }
}

void guest_main(void) {
  for (uint64_t i = argument("count", 100); i > 0; --i) access();
}
