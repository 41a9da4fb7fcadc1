#include "guest.h"
/* QEMU's interface for files of the host (QEMU: docs/specs/fw_cfg): a key is chosen, and its bytes are read one by one. */
enum { SELECTOR = 0x510, DATA = 0x511, DIRECTORY = 0x19, NAME = 56, MOST = 4096 };
static u32 big(int bytes) { u32 v = 0; while (bytes--) v = v << 8 | inb(DATA); return v; }
void fw_cfg(const char *cmd) {
    const char *wanted = find(cmd, "fw_cfg=");
    if (!wanted) return;
    outw(SELECTOR, DIRECTORY);
    for (u32 n = big(4); n; n--) {
        u32 size = big(4); u16 key = big(2); char name[NAME]; int i = 0;
        big(2);
        for (int at = 0; at < NAME; at++) name[at] = inb(DATA);
        while (name[i] && name[i] == wanted[i]) i++;
        if (name[i] || (wanted[i] && wanted[i] != ' ')) continue;
        puts("FW_CFG "); dec(size); puts(" [");
        outw(SELECTOR, key);
        for (u32 at = 0; at < size && at < MOST; at++) putc(inb(DATA));
        puts("]\r\n");
        return;
    }
    puts("FW_CFG none\r\n");
}
