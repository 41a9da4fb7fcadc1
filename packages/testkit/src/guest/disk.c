/*
 * virtio-blk over PCI, legacy interface (virtio 1.x, 4.1.4.8), or where there is no PCI over MMIO (4.2): one request at a time,
 * polled.
 * Command line: log=N writes the number of each tick into sector N + tick, and looks whether what it wrote before is still there;
 * grow=N writes N times a tick, each time to 64 KiB of the disk where nothing was before, and prints GREW with how often it did;
 * flush=1 has the disks flushed after each tick's writes, and prints FLUSHED with the number of the tick if that is said;
 * write=N puts a line into sector N, read=N prints the text at the start of sector N, dump=N all of it; each may be repeated.
 * disk=N is about the Nth disk and not the first; DISK-ID says its serial number. also=N has the N disks behind it,
 * of PCI, written and logged to in the same way.
 */
#include "guest.h"
enum { FEATURES = 4, QUEUE_PAGE = 8, QUEUE_SIZE = 12, QUEUE_SELECT = 14, NOTIFY = 16, STATUS = 18, CAPACITY = 20 };
enum { ACKNOWLEDGE_DRIVER = 3, DRIVER_OK = 4, NEXT = 1, DEVICE_WRITES = 2, MAX_QUEUE = 1024, CAN_FLUSH = 1 << 9, READ_ONLY = 1 << 5, FEATURES_OK = 8, FLUSH = 4, GET_ID = 8, ID = 20 };
struct descriptor { u64 address; u32 length; u16 flags, next; };
enum { MOST = 4 };
static struct unit {
    struct __attribute__((aligned(4096))) {
        struct descriptor table[MAX_QUEUE];
        u8 rings[5 * 4096];
    } queue;
    u16 port, size, sent;
} units[MOST], *unit = units;
static struct { u32 type, reserved; u64 sector; } request;
static u8 data[512];
static volatile u8 result;
static u64 capacity, logged, grow, grown, flushes, also;

static u32 pci(u32 slot, u32 reg) { outl(0xcf8, 0x80000000u | slot << 11 | reg); return inl(0xcfc); }

static int start(u64 skip) {
    for (u32 slot = 0; slot < 32; slot++) {
        if (pci(slot, 0) != 0x10011af4 || (skip && skip--)) continue;
        pci(slot, 4); outl(0xcfc, 5);          /* I/O ports, bus master */
        unit->port = pci(slot, 0x10) & 0xfffc;
        outb(unit->port + STATUS, 0); outb(unit->port + STATUS, ACKNOWLEDGE_DRIVER);
        outl(unit->port + FEATURES, CAN_FLUSH);     /* else each write is flushed by itself */
        outw(unit->port + QUEUE_SELECT, 0); unit->size = inw(unit->port + QUEUE_SIZE);
        if (!unit->size || unit->size > MAX_QUEUE) return 0;
        outl(unit->port + QUEUE_PAGE, (u64)&unit->queue >> 12);
        outb(unit->port + STATUS, ACKNOWLEDGE_DRIVER | DRIVER_OK);
        return 1;
    }
    return 0;
}

/* Where Firecracker's machine has its devices, one a page, and QEMU's microvm. */
static const struct { u32 at, step; } places[] = { { 0xc0001000, 0x1000 }, { 0xfeb00000, 0x200 } };
enum { PLACES = 2, MMIO_DEVICES = 24, MAGIC = 0x74726976, BLOCK = 2 };
static volatile u32 *mmio;
static u32 mmio_word(u32 at, u32 value) { mmio[at / 4] = value; return mmio[at / 4]; }
static void mmio_address(u32 at, u64 value) { mmio_word(at, value); mmio_word(at + 4, value >> 32); }

static int start_mmio(u64 skip) {
    for (u32 i = 0; i < PLACES * MMIO_DEVICES; i++) {
        u32 place = i / MMIO_DEVICES;
        mmio = (u32 *)(u64)(places[place].at + i % MMIO_DEVICES * places[place].step);
        if (mmio[0] != MAGIC || mmio[1] != 2 || mmio[2] != BLOCK || (skip && skip--)) continue;
        mmio_word(0x70, 0); mmio_word(0x70, 1); mmio_word(0x70, ACKNOWLEDGE_DRIVER);   /* one step at a time */
        mmio_word(0x14, 0); u32 offered = mmio[0x10 / 4];
        mmio_word(0x24, 0); mmio_word(0x20, offered & (CAN_FLUSH | READ_ONLY));
        mmio_word(0x24, 1); mmio_word(0x20, 1);   /* version 1 */
        mmio_word(0x70, ACKNOWLEDGE_DRIVER | FEATURES_OK);
        mmio_word(0x30, 0); u32 most = mmio[0x34 / 4];
        if (!most) return 0;
        unit->size = most > MAX_QUEUE ? MAX_QUEUE : most;
        mmio_word(0x38, unit->size);
        u64 avail = (u64)&unit->queue.table[unit->size];
        mmio_address(0x80, (u64)&unit->queue); mmio_address(0x90, avail); mmio_address(0xa0, (avail + (3 + unit->size) * 2 + 4095) & ~4095ul);
        mmio_word(0x44, 1);
        mmio_word(0x70, ACKNOWLEDGE_DRIVER | FEATURES_OK | DRIVER_OK);
        return 1;
    }
    mmio = 0;
    return 0;
}

static u8 transfer(u32 type, u64 sector) {
    volatile u16 *avail = (u16 *)&unit->queue.table[unit->size];
    volatile u16 *used = (u16 *)(((u64)&avail[3 + unit->size] + 4095) & ~4095ul);
    request.type = type; request.sector = sector; result = 0xff;
    unit->queue.table[0] = (struct descriptor){(u64)&request, sizeof request, NEXT, 1};
    if (type == FLUSH) unit->queue.table[0].next = 2;
    unit->queue.table[1] = (struct descriptor){(u64)data, type == GET_ID ? ID : sizeof data, NEXT | (type && type != GET_ID ? 0 : DEVICE_WRITES), 2};
    unit->queue.table[2] = (struct descriptor){(u64)&result, 1, DEVICE_WRITES, 0};
    avail[2 + unit->sent++ % unit->size] = 0; __asm__ volatile("" ::: "memory");
    avail[1] = unit->sent; __asm__ volatile("mfence" ::: "memory");
    if (mmio) mmio[0x50 / 4] = 0; else outw(unit->port + NOTIFY, 0);
    while (used[1] != unit->sent) __asm__ volatile("pause" ::: "memory");
    return result;
}

static void report(const char *what, u64 sector, u8 status) {
    puts(what); dec(sector);
    if (status) { puts(" error "); dec(status); }
    else { puts(" ["); for (int i = 0; i < 64 && data[i] >= ' ' && data[i] < 127; i++) putc(data[i]); puts("]"); }
    puts("\r\n");
}

static void dump(u64 sector) {
    if (transfer(0, sector)) return;
    puts("DUMP "); dec(sector); puts(" [");
    for (int i = 0; i < 512; i++) putc(data[i] == '\n' || (data[i] >= ' ' && data[i] < 127) ? data[i] : '.');
    puts("]\r\n");
}

void disk(const char *cmd) {
    u64 wanted = num(find(cmd, " disk="), 1);
    if (!start(wanted - 1) && !start_mmio(wanted - 1)) { puts("DISK none\r\n"); return; }
    capacity = mmio ? mmio[0x100 / 4] | (u64)mmio[0x104 / 4] << 32 : inl(unit->port + CAPACITY) | (u64)inl(unit->port + CAPACITY + 4) << 32;
    puts("DISK sectors="); dec(capacity); puts("\r\n");
    for (int i = 0; i < ID; i++) data[i] = 0;
    data[ID] = 0;
    if (!transfer(GET_ID, 0)) { puts("DISK-ID ["); puts((char *)data); puts("]\r\n"); }
    logged = num(find(cmd, "log="), 0); grow = num(find(cmd, "grow="), 0); flushes = num(find(cmd, "flush="), 0);
    also = num(find(cmd, "also="), 0);
    if (also >= MOST) also = MOST - 1;
    for (u64 i = 1; i <= also; i++) { unit = &units[i]; if (!start(wanted - 1 + i)) also = i - 1; }
    unit = units;
    for (const char *at = cmd; (at = find(at, "write="));) {
        const char *words = "written by the guest";
        for (int i = 0; i < 512; i++) data[i] = *words ? *words++ : 0;
        for (u64 i = 0; i <= also; i++) { unit = &units[i]; report("WROTE ", num(at, 0), transfer(1, num(at, 0))); }
        unit = units;
    }
    for (const char *at = cmd; (at = find(at, "dump="));) dump(num(at, 0));
    for (const char *at = cmd; (at = find(at, "read="));) report("SECTOR ", num(at, 0), transfer(0, num(at, 0)));
}

static void look(u64 tick) {
    u8 status = transfer(0, logged + tick);
    if (status || *(u64 *)data != tick) { puts("DISK-LOST "); dec(tick); puts(" is "); dec(*(u64 *)data); puts("\r\n"); }
}

static void disk_grow(void) {
    for (u64 i = 0; i < grow; i++) { transfer(1, (grown + i) * 128 % capacity); }
    grown += grow; puts("GREW "); dec(grown); puts("\r\n");
}

static void disk_flush(u64 tick, int says) {
    u8 status = 0;
    for (u64 i = 0; i <= also; i++) { unit = &units[i]; status |= transfer(FLUSH, 0); }
    unit = units;
    if (!status && !says) return;
    puts(status ? "FLUSH-FAILED " : "FLUSHED "); dec(tick); puts("\r\n");
}

static void log_tick(u64 tick) {
    if (tick > 1) { look(tick - 1); look(tick / 2 ? tick / 2 : 1); }
    *(u64 *)data = tick;
    if (transfer(1, logged + tick)) { puts("DISK-FAILED "); dec(tick); puts("\r\n"); }
}

void disk_log(u64 tick, int says) {
    if (!unit->port && !mmio) return;
    if (grow && capacity) disk_grow();
    for (u64 i = 0; i <= also; i++) { unit = &units[i]; if (logged && logged + tick < capacity) log_tick(tick); }
    unit = units;
    if (flushes) disk_flush(tick, says);
}
