// 32-bit paging with large pages: an alias of memory, and page faults that name their address.
#include "../lib/guest.h"

#define ENTRIES 1024
#define LARGE_PRESENT_WRITABLE 0x83
#define ALIAS 0x40000000u
#define ABSENT 0x80000004u

static uint32_t directory[ENTRIES] __attribute__((aligned(4096)));
static volatile uint32_t faults, fault_address;
static volatile uint32_t cell;

static void page_fault(struct frame* frame) {
  uint32_t address;
  __asm__ volatile("mov %%cr2, %0" : "=r"(address));
  fault_address = address;
  ++faults;
  frame->ip = frame->bx;  // where the code below wants to go on
}

void guest_main(void) {
  directory[0] = LARGE_PRESENT_WRITABLE;
  directory[ALIAS >> 22] = LARGE_PRESENT_WRITABLE;
  __asm__ volatile(
      "mov %0, %%cr3\n"
      "mov %%cr4, %%eax; or $0x10, %%eax; mov %%eax, %%cr4\n"
      "mov %%cr0, %%eax; or $0x80000000, %%eax; mov %%eax, %%cr0"
      :
      : "r"(directory)
      : "eax", "memory");
  write32(ALIAS + (uintptr_t)&cell, 0x12345678);
  CHECK_EQUAL(cell, 0x12345678);

  set_handler(14, page_fault);
  __asm__ volatile("mov $1f, %%ebx; mov %0, %%eax; 1:"
                   :
                   : "m"(*(volatile uint32_t*)ABSENT)
                   : "eax", "ebx", "memory");
  CHECK_EQUAL(faults, 1);
  CHECK_EQUAL(fault_address, ABSENT);
}
