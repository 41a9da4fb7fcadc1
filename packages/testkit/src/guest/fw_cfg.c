#include "guest.h"
/* QEMU's interface for files of the host (QEMU: docs/specs/fw_cfg): a key is chosen, and its bytes are read one by one. */
enum { SELECTOR = 0x510, DATA = 0x511, ARGUMENTS_SIZE = 0x14, ARGUMENTS = 0x15, DIRECTORY = 0x19, NAME = 56, MOST = 4096 };
static u32 big(int bytes) { u32 v = 0; while (bytes--) v = v << 8 | inb(DATA); return v; }
static void say(u32 size, u16 key) {
    puts("FW_CFG "); dec(size); puts(" [");
    outw(SELECTOR, key);
    for (u32 at = 0; at < size && at < MOST; at++) putc(inb(DATA));
    puts("]\r\n");
}
void fw_cfg(const char *cmd) {
    const char *wanted = find(cmd, "fw_cfg=");
    if (!wanted) return;
    if (find(wanted, "arguments") == wanted + 9) {   /* of the kernel that there is for firmware: no file, and ended by a zero */
        u32 size = 0;
        outw(SELECTOR, ARGUMENTS_SIZE);
        for (int bit = 0; bit < 32; bit += 8) size |= (u32)inb(DATA) << bit;
        if (size) say(size - 1, ARGUMENTS); else puts("FW_CFG none\r\n");
        return;
    }
    outw(SELECTOR, DIRECTORY);
    for (u32 n = big(4); n; n--) {
        u32 size = big(4); u16 key = big(2); char name[NAME]; int i = 0;
        big(2);
        for (int at = 0; at < NAME; at++) name[at] = inb(DATA);
        while (name[i] && name[i] == wanted[i]) i++;
        if (name[i] || (wanted[i] && wanted[i] != ' ')) continue;
        say(size, key);
        return;
    }
    puts("FW_CFG none\r\n");
}
