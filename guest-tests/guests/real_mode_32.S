// Real mode: segment arithmetic, the interrupt vector table, and ports, from 16-bit code.

.set CODE, 0x8000
.set DATA_SEGMENT, 0x3000
.set VECTOR, 0x40

.text
.code32
.globl guest_main
guest_main:
  mov $sixteen_bit, %esi
  mov $CODE, %edi
  mov $(sixteen_bit_end - sixteen_bit), %ecx
  rep movsb
  ljmp $0x20, $CODE

.code16
sixteen_bit:
  mov $0x28, %ax
  mov %ax, %ds
  mov %ax, %es
  mov %ax, %ss
  mov %cr0, %eax
  and $~1, %eax
  mov %eax, %cr0
  ljmp $(CODE >> 4), $(1f - sixteen_bit)
1:
  xor %ax, %ax
  mov %ax, %ss
  mov $CODE, %sp
  lidtl %cs:(vector_table - sixteen_bit)

  // An interrupt through the table at 0.
  mov %ax, %ds
  movw $(handler - sixteen_bit), 4 * VECTOR
  mov %cs, 4 * VECTOR + 2
  int $VECTOR
  mov $2, %bl
  cmp $0x1234, %cx
  jne report

  // segment * 16 + offset: one byte by two names.
  mov $DATA_SEGMENT, %ax
  mov %ax, %ds
  inc %ax
  mov %ax, %es
  movb $0x5a, 0x17
  mov $3, %bl
  cmpb $0x5a, %es:0x7
  jne report

  mov $text - sixteen_bit, %si
2:
  mov %cs:(%si), %al
  test %al, %al
  jz 4f
  mov %al, %cl
3:
  mov $0x3fd, %dx
  in %dx, %al
  test $0x20, %al
  jz 3b
  mov %cl, %al
  mov $0x3f8, %dx
  out %al, %dx
  inc %si
  jmp 2b
4:
  mov $0, %bl
report:
  mov %bl, %al
  out %al, $0xf4
5:
  hlt
  jmp 5b

handler:
  mov $0x1234, %cx
  iret

text:
  .asciz "real mode\n"
vector_table:
  .short 0x3ff
  .long 0
sixteen_bit_end:

.section .note.GNU-stack, "", @progbits
