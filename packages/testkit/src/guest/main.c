#include "guest.h"
/* ACPI's fixed registers, where SeaBIOS puts them on q35 */
enum { PM1_STATUS = 0x600, PM1_ENABLE = 0x602, PM1_CONTROL = 0x604, POWER_BUTTON = 0x100, SLEEP_S5 = 0x2000, SLEEP_S3 = 0x2400, PVPANIC = 0x505, RESULT = 0x501, SSDT = 0x54445353, FADT = 0x50434146 };
extern volatile u64 boot_info, boot_kind, jiffies;
extern char irq0_stub[], irq_ignore[];
struct start_info { u32 magic, version, flags, nr_modules; u64 modlist, cmdline, rsdp, memmap; u32 memmap_n, pad; };
struct mod { u64 addr, size, cmdline, pad; };
struct mm { u64 addr, size; u32 type, pad; };
void putc(char c) { for (int i = 0; i < 100000 && !(inb(0x3fd) & 0x20); i++); outb(0x3f8, c); }
void puts(const char *s) { while (*s) putc(*s++); }
static void hex(u64 v, int n) { while (n--) putc("0123456789abcdef"[(v >> (4 * n)) & 15]); }
void dec(u64 v) { char b[24]; int i = 24; b[--i] = 0; do b[--i] = '0' + v % 10; while (v /= 10); puts(b + i); }
const char *find(const char *s, const char *k) {
    for (; s && *s; s++) { int i = 0; while (k[i] && s[i] == k[i]) i++; if (!k[i]) return s + i; }
    return 0;
}
u64 num(const char *s, u64 d) { u64 v = 0; if (!s || *s < '0' || *s > '9') return d; while (*s >= '0' && *s <= '9') v = v * 10 + *s++ - '0'; return v; }
static u64 rdtsc(void) { u32 a, d; __asm__ volatile("rdtsc" : "=a"(a), "=d"(d)); return (u64)d << 32 | a; }
static struct { u16 lo, sel; u8 ist, type; u16 mid; u32 hi, z; } idt[256];
static struct __attribute__((packed)) { u16 lim; u64 base; } idtr;
static void gate(int v, char *h) { u64 a = (u64)h; idt[v].lo = a; idt[v].sel = 8; idt[v].type = 0x8e; idt[v].mid = a >> 16; idt[v].hi = a >> 32; }
static u32 pit(void) { outb(0x43, 0); u32 l = inb(0x40); return l | inb(0x40) << 8; }
static void delay_poll(u64 ms) {             /* PIT channel 0, mode 2, reload 65536, polled with the latch command */
    u64 want = ms * 1193, got = 0, n = 0; u32 a = pit();
    while (got < want && n++ < 2000000) { memory_write(); agent_look(); nic_look(); answer_look(); u32 b = pit(); got += (a - b) & 0xffff; a = b; }
}
static void delay_hlt(u64 ms, u64 hz) {      /* PIT channel 0 through the 8259 */
    u64 end = jiffies + ms * hz / 1000;
    while (jiffies < end) __asm__ volatile("sti; hlt; cli" ::: "memory");
}
/* Polling looks at more than the clock: what is to be looked at all the time keeps it from idling, as does a clock that is too slow. */
static int has_ports(void) { return inw(PM1_STATUS) != 0xffff; }
static int idles(const char *cmd, u64 ms) {
    const char *said = find(cmd, "hlt=");
    if (said) return *said == '1';
    return has_ports() && ms >= 10 && !find(cmd, "busy=") && !find(cmd, "agent=") && !find(cmd, "net=") && !find(cmd, "answer=");
}
/*
 * VM generation ID: 16 bytes in guest RAM. Firecracker's DSDT has a device "VM_Gen_Counter" whose ADDR package holds their address;
 * QEMU has an SSDT with a dword VGIA, and they are 40 bytes behind that (QEMU: docs/specs/vmgenid).
 */
static u64 aml_int(const u8 **p) { u8 o = *(*p)++; u64 v = 0; int n = o == 0x0a ? 1 : o == 0x0b ? 2 : o == 0x0c ? 4 : o == 0x0e ? 8 : 0; if (!n) return o == 1; for (int i = 0; i < n; i++) v |= (u64) * (*p)++ << (8 * i); return v; }
static volatile u64 *vmgenid(void) {
    if (!has_ports()) return 0;
    const u8 *d = 0, *e;
    while ((d = acpi_table(SSDT, d))) if ((e = memfind(d, *(u32 *)(d + 4), "VGIA")) && e[4] == 0x0c) return (u64 *)((u64) * (u32 *)(e + 5) + 40);
    if (!(d = acpi_table(FADT, 0)) || *(u32 *)(d + 4) < 148) return 0;
    d = (u8 *) * (u64 *)(d + 140);   /* its DSDT, of revision 2 on */
    if (!d || !(e = memfind(d, *(u32 *)(d + 4), "VM_Gen_Counter")) || !(e = memfind(e, 128, "ADDR")) || e[4] != 0x12) return 0;
    e += 7; u64 lo = aml_int(&e), hi = aml_int(&e); return (u64 *)(lo | hi << 32);
}
/* QEMU's microvm has no ports of ACPI, and a generic event device in their place: a bit of what has happened, which reading clears. */
static volatile u32 *const events = (u32 *)0xfea00000;
static volatile u8 *const sleep_control = (u8 *)0xfea00200;
static int pressed(void) { return has_ports() ? inw(PM1_STATUS) & POWER_BUTTON : *events & 2; }
/* By the first byte of QEMU's interface for files, which all its machines of x86 have: elsewhere ports may be read as anything. */
static int is_qemu(void) { outw(0x510, 0); return inb(0x511) == 'Q'; }
/* Returns where nothing powers a machine off: another end is for whoever asked. */
static void power_off(void) {
    if (!is_qemu()) { puts("OFF none\r\n"); return; }
    if (has_ports()) outw(PM1_CONTROL, SLEEP_S5); else *sleep_control = 0x34;
    for (;;) __asm__ volatile("pause");      /* QEMU takes a moment */
}
static void panic(void) {
    if (!is_qemu() || inb(PVPANIC) == 0xff) { puts("PANIC none\r\n"); return; }
    outb(PVPANIC, 1);
    for (;;) __asm__ volatile("pause");
}
static volatile u64 counter;                 /* lives in guest RAM: a restored clone goes on from here */
static char line[128];
void main(void) {
    const char *cmd = 0; u64 ird = 0, irdsz = 0, ram = 0;
    outb(0x3f9, 0); outb(0x3fb, 0x03); outb(0x3fa, 0x07); outb(0x3fc, 0x0b);
    if (boot_kind == 1) {
        struct start_info *s = (void *)boot_info; struct mod *m = (void *)s->modlist; struct mm *e = (void *)s->memmap;
        cmd = (char *)s->cmdline;
        if (s->nr_modules) ird = m->addr, irdsz = m->size;
        if (s->version) for (u32 i = 0; i < s->memmap_n; i++) if (e[i].type == 1) ram += e[i].size;
    } else {
        u8 *z = (void *)boot_info;
        cmd = (char *)(u64) * (u32 *)(z + 0x228); ird = *(u32 *)(z + 0x218); irdsz = *(u32 *)(z + 0x21c);
        for (int i = 0; i < z[0x1e8]; i++) if (*(u32 *)(z + 0x2d0 + i * 20 + 16) == 1) ram += *(u64 *)(z + 0x2d0 + i * 20 + 8);
    }
    puts("\r\nGUEST-READY boot="); puts(boot_kind == 1 ? "pvh" : "linux64");
    puts(" info="); hex(boot_info, 8); puts(" ram_kib="); dec(ram >> 10); puts(" tsc="); dec(rdtsc());
    puts("\r\nCMDLINE ["); if (cmd) puts(cmd); puts("]\r\nINITRD addr="); hex(ird, 8); puts(" size="); dec(irdsz);
    puts(" head="); for (u64 i = 0; i < irdsz && i < 16; i++) hex(((u8 *)ird)[i], 2); puts("\r\n");
    disk(cmd);
    memory(cmd);
    cpus(cmd);
    fw_cfg(cmd);
    shared(cmd);
    serial(cmd);
    agent(cmd);
    tpm(cmd);
    nic(cmd);
    answer(cmd);
    int button = find(cmd, "button=1") != 0;
    if (button) outw(PM1_ENABLE, POWER_BUTTON);
    u64 ms = num(find(cmd, "tick_ms="), 500), max = num(find(cmd, "ticks="), 0), say = num(find(cmd, "say="), 1); int hlt = idles(cmd, ms);
    u64 hz = ms < 1000 ? 100 : 20, reload = 1193182 / hz;   /* idle kernels of today do not wake a hundred times a second */
    if (hlt) {
        for (int i = 0; i < 256; i++) gate(i, irq_ignore);
        gate(0x20, irq0_stub); idtr.lim = sizeof idt - 1; idtr.base = (u64)idt; __asm__ volatile("lidt %0" ::"m"(idtr));
        outb(0x20, 0x11); outb(0xa0, 0x11); outb(0x21, 0x20); outb(0xa1, 0x28); outb(0x21, 4); outb(0xa1, 2); outb(0x21, 1); outb(0xa1, 1);
        outb(0x21, 0xfe); outb(0xa1, 0xff); outb(0x43, 0x34); outb(0x40, reload & 255); outb(0x40, reload >> 8);
    } else { outb(0x43, 0x34); outb(0x40, 0); outb(0x40, 0); }
    volatile u64 *gen = vmgenid(); u64 g0 = 0, g1 = 0;
    for (int n = 0;;) {
        if (gen && (gen[0] != g0 || gen[1] != g1)) { if (g0 | g1) fw_cfg(cmd); g0 = gen[0]; g1 = gen[1]; puts("VMGENID addr="); hex((u64)gen, 8); puts(" id="); hex(g1, 16); hex(g0, 16); puts("\r\n"); }
        int says = ++counter % say == 0;
        if (says) { puts("TICK "); dec(counter); puts("\r\n"); }
        disk_log(counter, says);
        shared_look();
        serial_look();
        nic_look();
        answer_look();
        if (hlt) delay_hlt(ms, hz); else delay_poll(ms);
        while (inb(0x3fd) & 1) {             /* serial input: echo whole lines; "quit" resets */
            char c = inb(0x3f8);
            if (c != '\n' && c != '\r') { if (n < 126) line[n++] = c; continue; }
            line[n] = 0; n = 0; puts("ECHO ["); puts(line); puts("]\r\n");
            if (find(line, "quit") == line + 4) max = 1;
        }
        u8 st = inb(0x64);                   /* SendCtrlAltDel arrives as i8042 scancodes (0xff = no i8042) */
        if (st != 0xff && st & 1) { puts("KBD"); while (inb(0x64) & 1) { putc(' '); u8 c = inb(0x60); hex(c, 2); if (button && (c == 0x53 || c == 0x71)) max = 1; } puts("\r\n"); }
        if (button && pressed()) { puts("POWER-BUTTON\r\n"); power_off(); break; }
        if (max && counter >= max) break;
    }
    if (find(cmd, "off=1")) { puts("GUEST-OFF\r\n"); power_off(); }
    if (find(cmd, "sleep=1") && !is_qemu()) puts("SLEEP none\r\n");
    else if (find(cmd, "sleep=1")) { puts("GUEST-SLEEPS\r\n"); outw(PM1_CONTROL, SLEEP_S3); for (;;) __asm__ volatile("pause"); }
    if (find(cmd, "panic=1")) { puts("GUEST-PANIC\r\n"); panic(); }
    if (find(cmd, "result=")) { puts("GUEST-RESULT\r\n"); outb(RESULT, num(find(cmd, "result="), 0)); puts("RESULT none\r\n"); }
    if (find(cmd, "fault=1")) { puts("GUEST-FAULT\r\n"); idtr.lim = 0; __asm__ volatile("lidt %0; ud2" ::"m"(idtr)); }
    puts("GUEST-DONE\r\n"); outb(0x64, 0xfe);   /* i8042 reset: Firecracker exits 0, QEMU -no-reboot exits 0 */
    for (int i = 0; i < 20000; i++) inb(0x64);  /* Firecracker stops asynchronously: do not fault before it has */
    idtr.lim = 0; __asm__ volatile("lidt %0" ::"m"(idtr)); *(volatile u8 *)0x7000000000 = 0;   /* no i8042 (microvm): triple fault */
}
