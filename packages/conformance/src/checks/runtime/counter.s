# The boot sector of bios.ts: as --32 counter.s -o counter.o && objcopy -O binary -j .text counter.o counter.bin
.code16
.globl _start
_start:
  cli
  xor %ax,%ax
  mov %ax,%ds
  mov %ax,%es
  mov %ax,%ss
  mov $0x7c00,%sp
  cmp $0x80,%dl
  jne hang
  sti
  mov $0x0201,%ax
  mov $0x0002,%cx
  mov $0x0080,%dx
  mov $0x8000,%bx
  int $0x13
  jc hang
  incb 0x8000
  mov $0x0301,%ax
  mov $0x0002,%cx
  mov $0x0080,%dx
  mov $0x8000,%bx
  int $0x13
  mov $(fixed - _start + 0x7c00),%si
  jc say
  mov 0x8000,%al
  add $0x30,%al
  mov %al,(digit - _start + 0x7c00)
  mov $(boot - _start + 0x7c00),%si
say:
  mov $0x3f8,%dx
next:
  lodsb
  test %al,%al
  jz hang
  out %al,%dx
  jmp next
hang:
  cli
  hlt
  jmp hang
boot: .ascii "BOOT "
digit: .ascii "0\n\xff\xfe\xc3(\x80 no end\0"
fixed: .ascii "FIXED\n\0"
