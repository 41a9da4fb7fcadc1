/*
 * agent=1, or 2 for the second such port: carries bytes between the port of an agent (virtio-serial over PCI, legacy interface, VIRTIO 1.x, 5.3) and the second
 * serial port, from the first byte on that comes by that, so that whoever is connected to it is the agent: by the serial port a zero
 * byte has the number behind it of how many there are, both ways. AGENT says the port's name, AGENT-HOST whether a host is there.
 */
#include "guest.h"
enum { FEATURES = 4, QUEUE_PAGE = 8, QUEUE_SIZE = 12, QUEUE_SELECT = 14, NOTIFY = 16, STATUS = 18, DEVICE = 0x10031af4 };
enum { ACKNOWLEDGE_DRIVER = 3, DRIVER_OK = 4, DEVICE_WRITES = 2, MULTIPORT = 2, QUEUES = 8, MOST = 256, PIECES = 4, PIECE = 4096 };
enum { CONTROL_IN = 2, CONTROL_OUT = 3, PORT = 2 };   /* port 0 is the console's, whose queues come before these */
static u32 carried, PORT_IN, PORT_OUT;
enum { DEVICE_READY, PORT_ADD, PORT_REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN, PORT_NAME };
enum { COM = 0x2f8, STATE = COM + 5, ARRIVED = 1, FREE = 0x20 };
struct descriptor { u64 address; u32 length; u16 flags, next; };
static struct __attribute__((aligned(4096))) { struct descriptor table[MOST]; u8 rings[2 * 4096]; } queues[QUEUES];
static u8 pieces[QUEUES][PIECES][PIECE];
static int wanted, zero;
static u16 port, sizes[QUEUES], sent[QUEUES], seen[QUEUES];
static struct { u32 id; u16 event, value; } control;

static u32 pci(u32 slot, u32 reg) { outl(0xcf8, 0x80000000u | slot << 11 | reg); return inl(0xcfc); }
static volatile u16 *avail(u32 q) { return (u16 *)&queues[q].table[sizes[q]]; }
static volatile u16 *used(u32 q) { return (u16 *)(((u64)&avail(q)[3 + sizes[q]] + 4095) & ~4095ul); }

/* Has the device take the piece `n` of the queue, or fill it. */
static void offer(u32 q, u32 n, const void *bytes, u32 length, u16 flags) {
    queues[q].table[n] = (struct descriptor){(u64)bytes, length, flags, 0};
    avail(q)[2 + sent[q]++ % sizes[q]] = n; __asm__ volatile("" ::: "memory");
    avail(q)[1] = sent[q]; __asm__ volatile("mfence" ::: "memory");
    outw(port + NOTIFY, q);
}

static void say(u32 q, const void *bytes, u32 length) {
    offer(q, 0, bytes, length, 0);
    while (used(q)[1] != sent[q]) __asm__ volatile("pause" ::: "memory");
}

static void tell(u16 event) { control.id = event == DEVICE_READY ? 0 : carried; control.event = event; control.value = 1; say(CONTROL_OUT, &control, sizeof control); }

static int start(void) {
    for (u32 slot = 0; slot < 32; slot++) {
        if (pci(slot, 0) != DEVICE) continue;
        pci(slot, 4); outl(0xcfc, 5);          /* I/O ports, bus master */
        port = pci(slot, 0x10) & 0xfffc;
        outb(port + STATUS, 0); outb(port + STATUS, ACKNOWLEDGE_DRIVER);
        outl(port + FEATURES, MULTIPORT);
        for (u32 q = 0; q < QUEUES; q++) {
            outw(port + QUEUE_SELECT, q); sizes[q] = inw(port + QUEUE_SIZE);
            if (sizes[q] > MOST || (q == PORT_OUT && !sizes[q])) return 0;
            if (sizes[q]) outl(port + QUEUE_PAGE, (u64)&queues[q] >> 12);
        }
        outb(port + STATUS, ACKNOWLEDGE_DRIVER | DRIVER_OK);
        for (u32 q = CONTROL_IN; q < QUEUES; q += 2)
            for (u32 n = 0; sizes[q] && n < PIECES; n++) offer(q, n, pieces[q][n], PIECE, DEVICE_WRITES);
        tell(DEVICE_READY);
        return 1;
    }
    return 0;
}

void agent(const char *cmd) {
    carried = num(find(cmd, "agent="), 0);
    if (!carried || carried > 2) return;
    if (carried == 1 && vsock_begin()) return;
    PORT_IN = PORT + 2 * carried, PORT_OUT = PORT_IN + 1;
    outb(COM + 1, 0), outb(COM + 2, 7), outb(COM + 3, 3);
    wanted = 1;
}

static void told(const u8 *bytes, u32 length) {
    u16 event = bytes[4], value = bytes[6];
    if (*(u32 *)bytes != carried) return;
    if (event == PORT_ADD) tell(PORT_READY), tell(PORT_OPEN);
    if (event == PORT_OPEN) puts(value ? "AGENT-HOST 1\r\n" : "AGENT-HOST 0\r\n");
    if (event != PORT_NAME) return;
    puts("AGENT [");
    for (u32 i = 8; i < length && bytes[i]; i++) putc(bytes[i]);
    puts("]\r\n");
}

/* What the device has filled of a queue. */
static void taken(u32 q, void (*take)(const u8 *, u32)) {
    while (used(q)[1] != seen[q]) {
        volatile u32 *one = (u32 *)&used(q)[2 + seen[q]++ % sizes[q] * 4];
        u32 n = one[0];
        take(pieces[q][n], one[1]);
        offer(q, n, pieces[q][n], PIECE, DEVICE_WRITES);
    }
}

static void write(u8 byte) {
    for (int i = 0; i < 100000 && !(inb(STATE) & FREE); i++);
    outb(COM, byte);
}

static void out(const u8 *bytes, u32 length) {
    for (u32 at = 0; at < length;) {
        u32 zeros = 0;
        while (at < length && zeros < 255 && !bytes[at]) at++, zeros++;
        if (zeros) write(0), write(zeros);
        else write(bytes[at++]);
    }
}

void agent_look(void) {
    u32 length = 0;
    vsock_look();
    if (wanted && inb(STATE) & ARRIVED) {
        wanted = 0;
        inb(COM);
        if (!start()) { port = 0; puts("AGENT none\r\n"); }
    }
    if (!port) return;
    taken(CONTROL_IN, told);
    taken(PORT_IN, out);
    for (int idle = 0; length + 255 < PIECE && idle < 50; idle++) {
        if (!(inb(STATE) & ARRIVED)) { if (!length) break; continue; }
        u8 byte = inb(COM);
        idle = 0;
        if (!zero && byte) pieces[PORT_OUT][0][length++] = byte;
        for (u8 n = zero ? byte : 0; n; n--) pieces[PORT_OUT][0][length++] = 0;
        zero = !zero && !byte;
    }
    if (length) say(PORT_OUT, pieces[PORT_OUT][0], length);
}
