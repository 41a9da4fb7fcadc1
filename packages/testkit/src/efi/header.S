# The head of a PE32+ program for UEFI on x86-64 with one section (PE/COFF; UEFI 2.10, 2.1.1), as a flat file: what
# follows is code that runs wherever it is loaded.
    .code64
    .section .head, "ax"
    .globl head
head:
    .ascii "MZ"
    .org 0x3c
    .long pe - head
    .org 0x40
pe: .ascii "PE\0\0"
    .word 0x8664                # x86-64
    .word 1                     # sections
    .long 0, 0, 0
    .word sections - optional
    .word 0x0206                # executable, no lines and symbols
optional:
    .word 0x20b                 # PE32+
    .byte 0, 0
    .long size_of_code, 0, 0
    .long efi_main_at           # entry
    .long 0x1000                # base of code
    .quad 0                     # wherever there is room
    .long 0x1000, 0x1000        # alignment in memory and in the file
    .word 0, 0, 0, 0, 0, 0
    .long 0
    .long size_of_image
    .long 0x1000                # size of headers
    .long 0
    .word 10, 0                 # subsystem: EFI application
    .quad 0, 0, 0, 0
    .long 0
    .long 6                     # directories
    .quad 0, 0, 0, 0, 0, 0
sections:
    .ascii ".text\0\0\0"
    .long size_of_code, 0x1000  # in memory
    .long size_of_code, 0x1000  # in the file
    .long 0, 0
    .word 0, 0
    .long 0xe0000020            # code, executable, readable, writable
