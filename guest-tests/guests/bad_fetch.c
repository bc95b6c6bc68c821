// Executes where there is no memory: KVM cannot go on, and the host is told why.
#include "../lib/guest.h"

void guest_main(void) {
  put("off\n");
  __asm__ volatile("mov $0xfeedface, %%ebx; jmp *%0" : : "r"((uint64_t)0xc9000000) : "ebx");
}
