/*
 * Memory that is written all the time: busy=N fills N MiB from 16 MiB on and, in place of idling, counts up one page of each 4 MiB of
 * them, over and over, and writes to others in the first quarter, one after the other. RAM-LOST tells of a page that has another
 * count than the rest: a clone that prints it has memory of more than one instant.
 */
#include "guest.h"
enum { START = 16 << 20, STEP = 4 << 20, PAGE = 4096, AT_A_TIME = 16, OTHERS = 64, COUNTED = 64 };
static u64 size, sweep, other;

/*
 * All of them stay in a direct-mapped TLB of 256 entries, as QEMU's is at least: they have entries of their own there, and are not
 * looked up anew for each write.
 */
static int is_counted(u64 at) { return (at / PAGE - COUNTED) % 256 < COUNTED; }
static volatile u64 *counted(u64 at) { return (u64 *)(START + at + (COUNTED + at / STEP % COUNTED) * PAGE); }

void memory(const char *cmd) {
    size = num(find(cmd, "busy="), 0) << 20;
    for (u64 at = 0; at < size; at += PAGE) *(u64 *)(START + at + 8) = at + 1;
}

void memory_write(void) {
    for (int n = 0; size && n < AT_A_TIME; n++, sweep++) {
        for (u64 at = 0; at < size; at += STEP) {
            volatile u64 *page = counted(at);
            if (*page != sweep) { puts("RAM-LOST "); dec(at); puts(" has "); dec(*page); puts(" not "); dec(sweep); puts("\r\n"); }
            *page = sweep + 1;
        }
        for (int i = 0; i < OTHERS; i++, other = (other + PAGE) % (size / 4))
            if (!is_counted(other)) *(volatile u64 *)(START + other) = sweep;
    }
}
