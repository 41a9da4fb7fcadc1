# A disk that boots by BIOS: this first sector reads the others, one at a time and again
# and again, and says on the serial port how far it is.
    .set SECTORS, 512               # after this one, each filled with its own number
    .code16
    .globl start
start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $0x7c00, %sp
    cld
    sti
    movw $boots, %si
    call say
next:
    incw sector
    movb $0x42, %ah                 # INT 13h, extended read of the packet at %ds:%si
    movb $0x80, %dl
    movw $packet, %si
    int $0x13
    jc bad
    movw $256, %cx                  # every word of it
    movw $0x8000, %si
1:  lodsw
    cmpw sector, %ax
    jne bad
    loop 1b
    movw sector, %ax
    testb $127, %al
    jnz 2f
    movw $progress, %si
    call say
2:  cmpw $SECTORS, sector
    jne next
    movw $done, %si
    call say
    movw $0, sector                 # and again
    jmp next
bad:
    movw $broken, %si
    call say
3:  hlt
    jmp 3b
say:
    lodsb
    testb %al, %al
    jz 5f
    movb %al, %bl
    movw $0x3fd, %dx
4:  inb %dx, %al
    testb $0x20, %al
    jz 4b
    movb %bl, %al
    movw $0x3f8, %dx
    outb %al, %dx
    jmp say
5:  ret
boots:    .asciz "DISK-BOOT\r\n"
progress: .asciz "SECTORS\r\n"
done:     .asciz "DISK-READ\r\n"
broken:   .asciz "DISK-BAD\r\n"
    .balign 4
packet:   .byte 16, 0, 1, 0         # one sector
          .word 0x8000, 0           # to 0000:8000
sector:   .quad 0                   # which
    .org 510
    .word 0xaa55
