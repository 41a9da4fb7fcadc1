# The kernel of artifact/bzimage.ts: as --32 bzimage.s -o bzimage.o && objcopy -O binary -j .text bzimage.o bzimage.bin
.code16
.globl _start
_start:
  jmp begin
  .ascii "HdrS"
  .word 0x020c
  .org 0x6a
begin:
  cli
  mov $(ready - _start + 0x200),%si
  call say
  mov 0x228,%eax
  mov %ax,%bx
  and $15,%bx
  shr $4,%eax
  mov %ax,%es
letter:
  mov %es:(%bx),%al
  inc %bx
  test %al,%al
  jz behind
  call put
  jmp letter
behind:
  mov $(initrd - _start + 0x200),%si
  call say
  mov 0x21c,%eax
  mov $8,%cx
digit:
  rol $4,%eax
  push %eax
  and $15,%al
  add $0x30,%al
  cmp $0x3a,%al
  jb show
  add $0x27,%al
show:
  call put
  pop %eax
  loop digit
  mov $(end - _start + 0x200),%si
  call say
  mov $0xfe,%al
  out %al,$0x64
hang:
  hlt
  jmp hang
say:
  lodsb
  test %al,%al
  jz return
  call put
  jmp say
put:
  mov $0x3fd,%dx
  mov %al,%ah
full:
  in %dx,%al
  test $0x20,%al
  jz full
  mov $0x3f8,%dx
  mov %ah,%al
  out %al,%dx
return:
  ret
ready: .ascii "BZIMAGE [\0"
initrd: .ascii "] \0"
end: .ascii "\r\n\0"
