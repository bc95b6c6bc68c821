# The smallest guest that both Vireo and QEMU's microvm start: entered by PVH, it writes 21 to the
# debug-exit port, for exit status 43.
    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 4, 18              # name size, descriptor size, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long _start

    .section .text, "ax", @progbits
    .code32
    .globl _start
_start:
    movl $21, %eax
    outl %eax, $0xf4
1:  hlt
    jmp 1b
