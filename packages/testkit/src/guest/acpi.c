/*
 * ACPI's tables (ACPI 6.5, 5.2), found by their pointer in the memory of the BIOS, as SeaBIOS, qboot and Firecracker leave it.
 * Command line: cpus=1 counts the processors of the MADT that may be used: `CPUS n`, or `CPUS none` where there is no such table.
 */
#include "guest.h"
enum { LENGTH = 4, ENTRIES = 36, MADT_ENTRIES = 44, LOCAL_APIC = 0, LOCAL_X2APIC = 9, ENABLED = 1, MADT = 0x43495041 };
const u8 *memfind(const u8 *p, u64 n, const char *k) { for (; n; n--, p++) { u64 i = 0; while (k[i] && i < n && p[i] == (u8)k[i]) i++; if (!k[i]) return p; } return 0; }

/* Their pointer; the same letters without its sum are those that firmware looks for. */
static const u8 *pointer(void) {
    for (const u8 *p = (u8 *)0xe0000; p < (u8 *)0x100000; p += 16) {
        u8 sum = 0;
        for (int i = 0; i < 20; i++) sum += p[i];
        if (!sum && memfind(p, 8, "RSD PTR ") == p) return p;
    }
    return 0;
}

/* The table with that signature after `last`, or the first one. */
const u8 *acpi_table(u32 signature, const u8 *last) {
    const u8 *r = pointer();
    if (!r) return 0;
    int wide = r[15] >= 2, seen = !last;   /* pointers of eight bytes, of revision 2 on */
    const u8 *list = (u8 *)(wide ? *(u64 *)(r + 24) : *(u32 *)(r + 16));
    for (u32 i = ENTRIES; i < *(u32 *)(list + LENGTH); i += wide ? 8 : 4) {
        const u8 *t = (u8 *)(wide ? *(u64 *)(list + i) : *(u32 *)(list + i));
        if (*(u32 *)t == signature && seen) return t;
        seen |= t == last;
    }
    return 0;
}

void cpus(const char *cmd) {
    if (!find(cmd, "cpus=1")) return;
    const u8 *madt = acpi_table(MADT, 0);
    if (!madt) { puts("CPUS none\r\n"); return; }
    u64 count = 0;
    for (u32 at = MADT_ENTRIES; at + 2 <= *(u32 *)(madt + LENGTH) && madt[at + 1]; at += madt[at + 1])
        count += (madt[at] == LOCAL_APIC && madt[at + 4] & ENABLED) || (madt[at] == LOCAL_X2APIC && madt[at + 8] & ENABLED);
    puts("CPUS "); dec(count); puts("\r\n");
}
