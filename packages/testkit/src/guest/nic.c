/*
 * A network device and one of entropy, both of virtio over PCI, legacy interface (VIRTIO 1.x, 5.1 and 5.4), or where there is no
 * PCI that of entropy over MMIO.
 * Command line: net=1 says the device's MAC address and its link, again each time that this changes: `NIC 52:54:… up`, or `NIC none`;
 * net=2 also gives back every frame that comes, as one of its own to whoever sent it: `FRAME n`;
 * rng=1 says 16 bytes of the other one: `RNG 0123…`, or `RNG none`.
 */
#include "guest.h"
enum { FEATURES = 4, QUEUE_PAGE = 8, QUEUE_SIZE = 12, QUEUE_SELECT = 14, NOTIFY = 16, STATUS = 18, MAC = 20, LINK = 26 };
enum { NET = 0x10001af4, RNG = 0x10051af4, ENTROPY = 4, ACKNOWLEDGE_DRIVER = 3, DRIVER_OK = 4, HAS_MAC = 1 << 5, HAS_STATUS = 1 << 16, MOST = 256, DEVICE_WRITES = 2, BYTES = 16, SPINS = 100000000 };
enum { RECEIVE, SEND, ANY, QUEUES, ROOMS = 8, ROOM = 2048, HEADER = 10, ADDRESS = 6 };
static struct queue {
    struct __attribute__((aligned(4096))) { struct { u64 address; u32 length; u16 flags, next; } table[MOST]; u8 rings[2 * 4096]; };
    u16 size, seen;
} queues[QUEUES];
static struct mmio_queue entropy;
static u16 net;
static u8 link, bytes[BYTES], room[ROOMS][ROOM], out[ROOM];
static u64 frames;

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

/* Whether the device has a queue `number`, which is `queue` from now on. */
static int queue_of(u16 port, u16 number, struct queue *queue) {
    outw(port + QUEUE_SELECT, number); queue->size = inw(port + QUEUE_SIZE);
    if (!queue->size || queue->size > MOST) return 0;
    outl(port + QUEUE_PAGE, (u64)queue >> 12);
    return 1;
}

static volatile u16 *avail(struct queue *queue) { return (u16 *)&queue->table[queue->size]; }
static volatile u16 *used(struct queue *queue) { return (u16 *)(((u64)&avail(queue)[3 + queue->size] + 4095) & ~4095ul); }

static void give(u16 port, u16 number, struct queue *queue, u16 descriptor) {
    avail(queue)[2 + avail(queue)[1] % queue->size] = descriptor; __asm__ volatile("" ::: "memory");
    avail(queue)[1]++; __asm__ volatile("mfence" ::: "memory");
    outw(port + NOTIFY, number);
}

static void say_bytes(volatile u16 *taken) {
    for (int i = 0; i < SPINS && *taken != 1; i++) __asm__ volatile("pause" ::: "memory");
    puts("RNG ");
    for (int i = 0; i < BYTES; i++) digits(bytes[i]);
    puts(*taken == 1 ? "\r\n" : " silent\r\n");
}

static int random_bytes_of_mmio(void) {
    volatile u32 *device = mmio_device(ENTROPY, 0);
    if (!device) return 0;
    mmio_queue(device, 0, &entropy);
    mmio_begin(device);
    entropy.table[0].address = (u64)bytes; entropy.table[0].length = BYTES; entropy.table[0].flags = MMIO_DEVICE_WRITES;
    mmio_give(device, 0, &entropy, 0);
    say_bytes(&entropy.used.at);
    return 1;
}

static void random_bytes(void) {
    u16 port = begun(RNG, 0);
    struct queue *queue = &queues[ANY];
    if (!port && random_bytes_of_mmio()) return;
    if (!port || !queue_of(port, 0, queue)) { puts("RNG none\r\n"); return; }
    outb(port + STATUS, ACKNOWLEDGE_DRIVER | DRIVER_OK);
    queue->table[0].address = (u64)bytes; queue->table[0].length = BYTES; queue->table[0].flags = DEVICE_WRITES;
    give(port, 0, queue, 0);
    say_bytes(&used(queue)[1]);
}

/* Rooms for what comes. Without queues there are no frames. */
static void begin_frames(void) {
    if (!queue_of(net, RECEIVE, &queues[RECEIVE]) || !queue_of(net, SEND, &queues[SEND])) { queues[RECEIVE].size = 0; return; }
    for (u16 i = 0; i < ROOMS; i++) {
        queues[RECEIVE].table[i].address = (u64)room[i]; queues[RECEIVE].table[i].length = ROOM; queues[RECEIVE].table[i].flags = DEVICE_WRITES;
    }
}

/* To whoever sent it, from this device. */
static void give_back(const u8 *got, u32 length) {
    struct queue *queue = &queues[SEND];
    u16 before = used(queue)[1];
    for (u32 i = HEADER; i < length; i++) out[i] = got[i];
    for (int i = 0; i < ADDRESS; i++) { out[HEADER + i] = got[HEADER + ADDRESS + i]; out[HEADER + ADDRESS + i] = inb(net + MAC + i); }
    queue->table[0].address = (u64)out; queue->table[0].length = length;
    give(net, SEND, queue, 0);
    while (used(queue)[1] == before) __asm__ volatile("pause" ::: "memory");
    puts("FRAME "); dec(++frames); puts("\r\n");
}

static void frames_look(void) {
    struct queue *queue = &queues[RECEIVE];
    while (queue->size && used(queue)[1] != queue->seen) {
        volatile u32 *one = (u32 *)&used(queue)[2 + queue->seen++ % queue->size * 4];
        u32 id = one[0], length = one[1];
        if (id < ROOMS && length >= HEADER + 2 * ADDRESS && length <= ROOM) give_back(room[id], length);
        give(net, RECEIVE, queue, (u16)id);
    }
}

void nic(const char *cmd) {
    if (find(cmd, "rng=1")) random_bytes();
    u64 wanted = num(find(cmd, "net="), 0);
    if (!wanted) return;
    net = begun(NET, HAS_MAC | HAS_STATUS);
    if (!net) { puts("NIC none\r\n"); return; }
    if (wanted == 2) begin_frames();
    outb(net + STATUS, ACKNOWLEDGE_DRIVER | DRIVER_OK);
    for (u16 i = 0; i < ROOMS && queues[RECEIVE].size; i++) give(net, RECEIVE, &queues[RECEIVE], i);
    link = inb(net + LINK);
    say_link();
}

void nic_look(void) {
    if (!net) return;
    frames_look();
    if (inb(net + LINK) == link) return;
    link = inb(net + LINK);
    say_link();
}
