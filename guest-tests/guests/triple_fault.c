// An exception that cannot be delivered: the host is told where, with all registers.
#include "../lib/guest.h"

void guest_main(void) {
  static const struct {
    uint16_t limit;
    uint64_t base;
  } __attribute__((packed)) nothing = {0, 0};
  __asm__ volatile("lidt %0" : : "m"(nothing));
  __asm__ volatile("mov $0xfeedface, %%ebx; ud2" : : : "ebx");
}
