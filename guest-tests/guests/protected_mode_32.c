// 32-bit protected mode: flat segments, and a segment's limit.
#include "../lib/guest.h"

#define CR0_PROTECTION 1u
#define CR0_PAGING (1u << 31)

extern uint64_t gdt[];
static volatile uint32_t faults;

static void protection_fault(struct frame* frame) {
  ++faults;
  frame->ip = frame->bx;  // where the code below wants to go on
}

void guest_main(void) {
  uint32_t cr0;
  __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
  CHECK_EQUAL(cr0 & (CR0_PROTECTION | CR0_PAGING), CR0_PROTECTION);

  set_handler(13, protection_fault);
  gdt[5] = 0x004093000000000full;  // selector 28: 16 bytes from 0 on
  __asm__ volatile(
      "mov $0x28, %%eax; mov %%eax, %%fs\n"
      "mov $1f, %%ebx; mov %%fs:12, %%eax; 1:"
      :
      :
      : "eax", "ebx", "memory");
  CHECK_EQUAL(faults, 0);
  __asm__ volatile("mov $1f, %%ebx; mov %%fs:13, %%eax; 1:" : : : "eax", "ebx", "memory");
  CHECK_EQUAL(faults, 1);
}
