/*
 * Shared memory of ivshmem (QEMU: docs/specs/ivshmem-spec): BAR 2 of the PCI device 1af4:1110, where firmware has put it.
 * Command line: shared=1 prints the text at its start, again whenever that has changed, and puts its length, two digits, at byte 64;
 * shared_say=WORD puts a word at its start.
 */
#include "guest.h"
enum { DEVICE = 0x11101af4, BAR2 = 0x18, COMMAND = 4, MEMORY = 2, ANSWER = 64 };
static volatile char *memory_shared;
static char last[ANSWER];
static u32 pci(u32 slot, u32 reg) { outl(0xcf8, 0x80000000u | slot << 11 | reg); return inl(0xcfc); }

void shared(const char *cmd) {
    const char *word = find(cmd, "shared_say=");
    if (!word && !find(cmd, "shared=1")) return;
    for (u32 slot = 0; slot < 32 && !memory_shared; slot++) {
        if (pci(slot, 0) != DEVICE) continue;
        pci(slot, COMMAND); outl(0xcfc, MEMORY);
        if (pci(slot, BAR2 + 4) == 0) memory_shared = (char *)(u64)(pci(slot, BAR2) & ~15u);   /* what is mapped ends at 4 GiB */
    }
    if (!memory_shared) { puts("SHARED none\r\n"); return; }
    for (u32 i = 0; word && word[i] && word[i] != ' ' && i < ANSWER - 1; i++) memory_shared[i] = word[i], memory_shared[i + 1] = 0;
}

void shared_look(void) {
    u32 n = 0, changed = 0;
    if (!memory_shared) return;
    for (; n < ANSWER - 1; n++) {
        char c = memory_shared[n];
        changed |= c != last[n];
        last[n] = c;
        if (!c) break;
    }
    if (!changed) return;
    puts("SHARED ["); puts(last); puts("]\r\n");
    memory_shared[ANSWER] = '0' + n / 10; memory_shared[ANSWER + 1] = '0' + n % 10;
}
