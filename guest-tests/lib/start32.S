// Entry of 32-bit guests: flat segments, no paging, one stub per interrupt vector.
#include "multiboot.inc"

.text
.code32
.globl _start
_start:
  lgdt gdt_pointer
  ljmp $0x08, $1f
1:
  mov $0x10, %ecx
  mov %ecx, %ds
  mov %ecx, %es
  mov %ecx, %fs
  mov %ecx, %gs
  mov %ecx, %ss
  mov $stack_top, %esp
  push $0
  popf
  push %ebx
  push %eax
  call guest_start
halt:
  cli
  hlt
  jmp halt

// Every vector has 16 bytes here. The frame is `struct frame` of guest.h.
.balign 16
.globl vector_stubs
vector_stubs:
.set vector, 0
.rept 256
  .balign 16
  // These push an error code themselves (SDM volume 3, table 6-1).
  .if (vector != 8) && ((vector < 10) || (vector > 14)) && (vector != 17) && (vector != 21)
  push $0
  .endif
  push $vector
  jmp enter_handler
  .set vector, vector + 1
.endr

enter_handler:
  pusha
  push %esp
  call dispatch
  add $4, %esp
  popa
  add $8, %esp
  // What IRET would do here, in instructions that KVM's emulator knows outside real mode.
  push %eax
  push %ecx
  mov 8(%esp), %eax   // address
  mov 16(%esp), %ecx  // flags
  mov %ecx, 12(%esp)
  mov %eax, 16(%esp)
  pop %ecx
  pop %eax
  add $4, %esp
  popf
  ret

.data
.balign 8
.globl gdt
gdt:
  .quad 0
  .quad 0x00cf9b000000ffff  // 08: 32-bit code
  .quad 0x00cf93000000ffff  // 10: data
  .quad 0x00af9b000000ffff  // 18: 64-bit code
  .quad 0x00009b000000ffff  // 20: 16-bit code, base 0
  .quad 0x000093000000ffff  // 28: 16-bit data, base 0
gdt_end:
.globl gdt_pointer
gdt_pointer:
  .short gdt_end - gdt - 1
  .long gdt

.bss
.balign 16
.skip 16384
stack_top:

.section .note.GNU-stack, "", @progbits
