// 64-bit mode: wide registers and addresses, and page faults that name a 64-bit address.
#include "../lib/guest.h"

#define CODE_64_BIT (1u << 29)
#define HIGH_HALF 0xffff800000000000

extern uint64_t pml4[512];
static volatile uint64_t fault_address, fault_error, faults;
static volatile uint64_t cell;

static void page_fault(struct frame* frame) {
  uint64_t address;
  __asm__ volatile("mov %%cr2, %0" : "=r"(address));
  fault_address = address;
  fault_error = frame->error;
  ++faults;
  frame->ip = frame->bx;  // where the code below wants to go on
}

// A read that faults.
static void touch(uint64_t address) {
  uint64_t value;
  __asm__ volatile("lea 1f(%%rip), %%rbx; mov (%1), %0; 1:"
                   : "=r"(value)
                   : "r"(address)
                   : "rbx", "memory");
}

void guest_main(void) {
  CHECK(cpuid(0x80000001, 0).edx & CODE_64_BIT);
  CHECK_EQUAL(read_msr(0xc0000080) >> 8 & 5, 5);  // EFER: LME and LMA

  pml4[256] = pml4[0];
  cell = 0x0123456789abcdef;
  CHECK_EQUAL(read64(HIGH_HALF + (uintptr_t)&cell), 0x0123456789abcdef);
  write64(HIGH_HALF + (uintptr_t)&cell, 0xfedcba9876543210);
  CHECK_EQUAL(cell, 0xfedcba9876543210);

  set_handler(14, page_fault);
  touch(0x7f1234567890);
  CHECK_EQUAL(faults, 1);
  CHECK_EQUAL(fault_address, 0x7f1234567890);
  CHECK_EQUAL(fault_error, 0);  // not present, read, supervisor
}
