/* Entry of the test guest. Firecracker hands over in long mode (Linux 64-bit boot protocol): interrupts off, the first
 * GiB mapped one to one, RSI = the zero page. */
        .section .entry, "ax"
        .globl  entry
entry:
        cli
        cld
        leaq    stack_end(%rip), %rsp
        xorl    %ebp, %ebp
        movq    %rsi, %rdi
        call    guest_main
1:      hlt
        jmp     1b

/* No interrupt table, then an invalid instruction: #UD, #DF, shutdown. */
        .globl  triple_fault
triple_fault:
        lidt    no_table(%rip)
        ud2

        .section .rodata
        .balign 16
no_table:
        .word   0
        .quad   0

        .section .bss
        .balign 16
        .skip   32768
stack_end:
        .section .note.GNU-stack, "", @progbits
