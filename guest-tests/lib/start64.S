// Entry of 64-bit guests: from protected to long mode, the first 4 GiB mapped one to one, one stub
// per interrupt vector, and the way in for further processors.
#include "multiboot.inc"

.set CR0_PG, 1 << 31
.set CR4_PAE, 1 << 5
.set CR4_OSFXSR, 3 << 9  // and OSXMMEXCPT: SSE may be used
.set MSR_EFER, 0xc0000080
.set EFER_LME, 1 << 8

.text
.code32
.globl _start
_start:
  mov $stack_top, %esp
  mov %eax, %edi
  mov %ebx, %esi
  lgdt gdt_pointer
  call load_data_segments
  call enter_long_mode
  ljmp $0x18, $1f
.code64
1:
  mov %edi, %edi
  mov %esi, %esi
  call guest_start
halt:
  cli
  hlt
  jmp halt

.code32
load_data_segments:
  mov $0x10, %ecx
  mov %ecx, %ds
  mov %ecx, %es
  mov %ecx, %fs
  mov %ecx, %gs
  mov %ecx, %ss
  ret

enter_long_mode:
  mov $pml4, %eax
  mov %eax, %cr3
  mov %cr4, %eax
  or $(CR4_PAE | CR4_OSFXSR), %eax
  mov %eax, %cr4
  mov $MSR_EFER, %ecx
  rdmsr
  or $EFER_LME, %eax
  wrmsr
  mov %cr0, %eax
  or $CR0_PG, %eax
  mov %eax, %cr0
  ret

// Every vector has 16 bytes here. The frame is `struct frame` of guest.h.
.code64
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
  push %rax
  push %rcx
  push %rdx
  push %rbx
  push %rbp
  push %rsi
  push %rdi
  push %r8
  push %r9
  push %r10
  push %r11
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, %rdi
  cld
  call dispatch
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %r11
  pop %r10
  pop %r9
  pop %r8
  pop %rdi
  pop %rsi
  pop %rbp
  pop %rbx
  pop %rdx
  pop %rcx
  pop %rax
  add $16, %rsp
  // What IRET would do here, in instructions that KVM's emulator knows outside real mode: flags and
  // address go on the interrupted stack, which may lie right above this frame.
  push %rax
  push %rcx
  push %rdx
  mov 24(%rsp), %rdx  // address
  mov 40(%rsp), %rcx  // flags
  mov 48(%rsp), %rax  // stack
  mov %rdx, -8(%rax)
  mov %rcx, -16(%rax)
  mov 16(%rsp), %rdx
  mov %rdx, -24(%rax)
  pop %rdx
  pop %rcx
  lea -24(%rax), %rsp
  pop %rax
  popfq
  ret

// Copied below 1 MiB (smp.h): a processor wakes up here in real mode with CS = page * 0x100.
.code16
.globl trampoline, trampoline_end
trampoline:
  cli
  mov %cs, %ax
  mov %ax, %ds
  lgdtl trampoline_gdt_pointer - trampoline
  mov %cr0, %eax
  or $1, %eax
  and $0x9fffffff, %eax  // caches on: CD and NW are set at INIT
  mov %eax, %cr0
  ljmpl $0x08, $ap_entry
.balign 8
trampoline_gdt_pointer:
  .short gdt_end - gdt - 1
  .long gdt
trampoline_end:

.code32
.weak ap_start  // of guests with further processors
ap_entry:
  mov $0x10, %ecx
  mov %ecx, %ds
  mov %ecx, %ss
  mov $1, %edi
  lock xadd %edi, ap_count  // 0, 1, ...
  mov %edi, %esp
  inc %esp
  shl $13, %esp
  add $ap_stacks, %esp
  call load_data_segments
  call enter_long_mode
  ljmp $0x18, $1f
.code64
1:
  mov %edi, %edi
  inc %edi
  lidt idt_pointer
  call ap_start
  jmp halt

.data
.balign 4
.globl ap_count
ap_count:
  .long 0
.balign 8
.globl gdt
gdt:
  .quad 0
  .quad 0x00cf9b000000ffff  // 08: 32-bit code
  .quad 0x00cf93000000ffff  // 10: data
  .quad 0x00af9b000000ffff  // 18: 64-bit code
gdt_end:
gdt_pointer:
  .short gdt_end - gdt - 1
  .long gdt

.balign 4096
.globl pml4, pdpt
pml4:
  .quad pdpt + 3
  .skip 4088
pdpt:
  .quad directories + 3, directories + 0x1003, directories + 0x2003, directories + 0x3003
  .skip 4096 - 32
directories:
.set page, 0
.rept 2048
  .quad page + 0x83
  .set page, page + 0x200000
.endr

.bss
.balign 16
.skip 16384
stack_top:
ap_stacks:
.skip 64 * 8192

.section .note.GNU-stack, "", @progbits
