/*
 * A network device and one of entropy, both of virtio over PCI, legacy interface (VIRTIO 1.x, 5.1 and 5.4).
 * Command line: net=1 says the device's MAC address and its link, again each time that this changes: `NIC 52:54:… up`, or `NIC none`;
 * rng=1 says 16 bytes of the other one: `RNG 0123…`, or `RNG none`.
 */
#include "guest.h"
enum { FEATURES = 4, QUEUE_PAGE = 8, QUEUE_SIZE = 12, QUEUE_SELECT = 14, NOTIFY = 16, STATUS = 18, MAC = 20, LINK = 26 };
enum { NET = 0x10001af4, RNG = 0x10051af4, ACKNOWLEDGE_DRIVER = 3, DRIVER_OK = 4, HAS_MAC = 1 << 5, HAS_STATUS = 1 << 16, MOST = 256, DEVICE_WRITES = 2, BYTES = 16, SPINS = 100000000 };
static struct __attribute__((aligned(4096))) { struct { u64 address; u32 length; u16 flags, next; } table[MOST]; u8 rings[2 * 4096]; } queue;
static u16 net;
static u8 link, bytes[BYTES];

static u32 pci(u32 slot, u32 reg) { outl(0xcf8, 0x80000000u | slot << 11 | reg); return inl(0xcfc); }

/* The ports of the first such device, told what it may do; 0 if there is none. */
static u16 begun(u32 device, u32 features) {
    for (u32 slot = 0; slot < 32; slot++) {
        if (pci(slot, 0) != device) continue;
        pci(slot, 4); outl(0xcfc, 5);          /* I/O ports, bus master */
        u16 port = pci(slot, 0x10) & 0xfffc;
        outb(port + STATUS, 0); outb(port + STATUS, ACKNOWLEDGE_DRIVER);
        outl(port + FEATURES, features);
        return port;
    }
    return 0;
}

static void digits(u8 byte) { putc("0123456789abcdef"[byte >> 4]); putc("0123456789abcdef"[byte & 15]); }

static void say_link(void) {
    puts("NIC ");
    for (int i = 0; i < 6; i++) { if (i) putc(':'); digits(inb(net + MAC + i)); }
    puts(link & 1 ? " up\r\n" : " down\r\n");
}

static void random_bytes(void) {
    u16 port = begun(RNG, 0), size;
    if (!port) { puts("RNG none\r\n"); return; }
    outw(port + QUEUE_SELECT, 0); size = inw(port + QUEUE_SIZE);
    if (!size || size > MOST) { puts("RNG none\r\n"); return; }
    outl(port + QUEUE_PAGE, (u64)&queue >> 12);
    outb(port + STATUS, ACKNOWLEDGE_DRIVER | DRIVER_OK);
    volatile u16 *avail = (u16 *)&queue.table[size], *used = (u16 *)(((u64)&avail[3 + size] + 4095) & ~4095ul);
    queue.table[0].address = (u64)bytes; queue.table[0].length = BYTES; queue.table[0].flags = DEVICE_WRITES;
    avail[2] = 0; __asm__ volatile("" ::: "memory");
    avail[1] = 1; __asm__ volatile("mfence" ::: "memory");
    outw(port + NOTIFY, 0);
    for (int i = 0; i < SPINS && used[1] != 1; i++) __asm__ volatile("pause" ::: "memory");
    puts("RNG ");
    for (int i = 0; i < BYTES; i++) digits(bytes[i]);
    puts(used[1] == 1 ? "\r\n" : " silent\r\n");
}

void nic(const char *cmd) {
    if (find(cmd, "rng=1")) random_bytes();
    if (!find(cmd, "net=1")) return;
    net = begun(NET, HAS_MAC | HAS_STATUS);
    if (!net) { puts("NIC none\r\n"); return; }
    outb(net + STATUS, ACKNOWLEDGE_DRIVER | DRIVER_OK);
    link = inb(net + LINK);
    say_link();
}

void nic_look(void) {
    if (!net || inb(net + LINK) == link) return;
    link = inb(net + LINK);
    say_link();
}
