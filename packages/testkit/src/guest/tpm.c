/*
 * A TPM 2.0 behind the interface that TCG's PC Client specification has at 0xFED40000 (TIS).
 * Command line: tpm=1 prints who made it and how often it was started since it is there: `TPM 4116 resets N` (0x1014), or `TPM none`.
 */
#include "guest.h"
enum { ACCESS = 0, STATUS = 0x18, FIFO = 0x24, MAKER = 0xf00, ACTIVE = 0x20, REQUEST = 2, READY = 0x40, GO = 0x20, ANSWER = 0x10, SPINS = 20000000 };
static volatile u8 *const tis = (u8 *)0xfed40000;
static int becomes(u32 reg, u8 bit) { for (int i = 0; i < SPINS; i++) if (tis[reg] != 0xff && tis[reg] & bit) return 1; return 0; }

/* Gives how many bytes of an answer there were. */
static u32 ask(const u8 *command, u32 size, u8 *answer, u32 room) {
    u32 n = 0;
    tis[STATUS] = READY;
    if (!becomes(STATUS, READY)) return 0;
    for (u32 i = 0; i < size; i++) tis[FIFO] = command[i];
    tis[STATUS] = GO;
    if (!becomes(STATUS, ANSWER)) return 0;
    while (tis[STATUS] & ANSWER) { u8 b = tis[FIFO]; if (n < room) answer[n++] = b; }
    tis[STATUS] = READY;
    return n;
}

void tpm(const char *cmd) {
    static const u8 startup[] = {0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0};   /* as after power-on; firmware may have been first */
    static const u8 clock[] = {0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x81};           /* TPM2_ReadClock: time, clock, resets, … */
    u8 answer[64];
    if (!find(cmd, "tpm=1")) return;
    u32 maker = *(volatile u32 *)(tis + MAKER) & 0xffff;
    if (maker == 0xffff) { puts("TPM none\r\n"); return; }
    tis[ACCESS] = REQUEST;
    u32 n = becomes(ACCESS, ACTIVE) ? ask(startup, sizeof startup, answer, sizeof answer) : 0;
    n = n ? ask(clock, sizeof clock, answer, sizeof answer) : 0;
    if (n < 30) { puts("TPM silent\r\n"); return; }
    puts("TPM "); dec(maker); puts(" resets "); dec((u64)answer[26] << 24 | answer[27] << 16 | answer[28] << 8 | answer[29]); puts("\r\n");
}
