/*
 * agent=1 where there is a device of virtio for vsock over MMIO (VIRTIO 1.x, 5.10), as Firecracker has: carries bytes between port
 * 20310, the agent's, and 20311, so that whoever is connected to that is the agent. Says AGENT [vsock] once somebody is; nobody is
 * let in at the agent's port before. One connection to each; both are over with a snapshot.
 */
#include "guest.h"
enum { VSOCK = 19, RECEIVE = 0, SEND = 1, EVENTS = 2, QUEUES, NEXT = 1, HEADER = 44, ROOMS = 16, ROOM = 4096, KEPT = 65536, STREAM = 1, SHUT = 3 };
enum { REQUEST = 1, RESPONSE, OVER, SHUTDOWN, DATA, CREDIT, CREDIT_REQUEST };
enum { AGENT, SUITE, WAYS, FIRST_PORT = 20310 };
struct packet { u64 from, to; u32 from_port, to_port, length; u16 type, what; u32 flags, room, taken; };
static struct mmio_queue queues[QUEUES];
static struct packet headers[ROOMS], out;
static u8 rooms[ROOMS][ROOM];
static struct { u32 id; } events[ROOMS];
static volatile u32 *device;
static u16 seen[QUEUES];
/* By it came what is `kept`, from `left` up to `come`, and is for the other one; of what is sent by it the peer has `room`. */
static struct way { int open; u32 peer, room, heard, sent, come, left; u8 kept[KEPT]; } ways[WAYS];

static void wait_sent(void) {
    mmio_give(device, SEND, &queues[SEND], 0);
    while (queues[SEND].used.at != queues[SEND].avail[1]) __asm__ volatile("pause" ::: "memory");
}

/* A packet by that way, with `length` bytes of the other one's. */
static void say(u32 from_port, u32 to_port, u16 what, u32 taken, const u8 *bytes, u32 length) {
    out = (struct packet){3, 2, from_port, to_port, length, STREAM, what, what == SHUTDOWN ? SHUT : 0, KEPT, taken};
    queues[SEND].table[0].address = (u64)&out; queues[SEND].table[0].length = HEADER; queues[SEND].table[0].flags = length ? NEXT : 0; queues[SEND].table[0].next = 1;
    queues[SEND].table[1].address = (u64)bytes; queues[SEND].table[1].length = length; queues[SEND].table[1].flags = 0;
    wait_sent();
}

static void by(int way, u16 what, const u8 *bytes, u32 length) { say(FIRST_PORT + way, ways[way].peer, what, ways[way].left, bytes, length); }

/* Without a word: whoever is at the other end knows. */
static void shut(int way) {
    ways[way].open = 0; ways[way].come = ways[way].left = ways[way].sent = 0;
    if (way == SUITE && ways[AGENT].open) { by(AGENT, OVER, 0, 0); shut(AGENT); }
}

/* Eight bytes at a time: a KVM that emulates each instruction takes long for each. */
static void copy(u8 *to, const u8 *from, u64 length) {
    u64 words = length / 8;
    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) :: "memory");
    length %= 8;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) :: "memory");
}

static void keep(struct way *way, const u8 *bytes, u32 length) {
    while (length) {
        u32 at = way->come % KEPT, piece = length > KEPT - at ? KEPT - at : length;
        copy(way->kept + at, bytes, piece);
        way->come += piece; bytes += piece; length -= piece;
    }
}

static void take(const struct packet *got, const u8 *bytes, u32 length) {
    u32 at = got->to_port - FIRST_PORT;
    struct way *way = at < WAYS ? &ways[at] : 0;
    int known = way && way->open && way->peer == got->from_port;
    if (got->what == REQUEST && way && !way->open && (at == SUITE || ways[SUITE].open)) {
        way->open = 1; way->peer = got->from_port; way->room = got->room; way->heard = got->taken;
        by(at, RESPONSE, 0, 0);
        if (at == SUITE) puts("AGENT [vsock]\r\n");
    } else if (!known) {
        if (got->what != OVER) say(got->to_port, got->from_port, OVER, 0, 0, 0);
    } else if (got->what == OVER || got->what == SHUTDOWN) {
        if (got->what == SHUTDOWN) by(at, OVER, 0, 0);
        shut(at);
    } else {
        way->room = got->room; way->heard = got->taken;
        if (got->what == DATA) keep(way, bytes, length);
        if (got->what == CREDIT_REQUEST) by(at, CREDIT, 0, 0);
    }
}

/* As much of what came by `from` as the other end has room for. */
static void pass_on(int from) {
    struct way *source = &ways[from], *to = &ways[1 - from];
    while (source->come != source->left && to->open) {
        u32 length = source->come - source->left, free = to->room - (to->sent - to->heard), whole = KEPT - source->left % KEPT;
        if (length > free) length = free;
        if (length > whole) length = whole;
        if (length > ROOM) length = ROOM;
        if (!length) return;
        by(1 - from, DATA, source->kept + source->left % KEPT, length);
        to->sent += length; source->left += length;
        by(from, CREDIT, 0, 0);
    }
}

int vsock_begin(void) {
    device = mmio_device(VSOCK, 0);
    if (!device) return 0;
    for (u32 q = 0; q < QUEUES; q++) mmio_queue(device, q, &queues[q]);
    mmio_begin(device);
    for (u16 i = 0; i < ROOMS; i++) {
        queues[RECEIVE].table[2 * i].address = (u64)&headers[i]; queues[RECEIVE].table[2 * i].length = HEADER;
        queues[RECEIVE].table[2 * i].flags = NEXT | MMIO_DEVICE_WRITES; queues[RECEIVE].table[2 * i].next = 2 * i + 1;
        queues[RECEIVE].table[2 * i + 1].address = (u64)rooms[i]; queues[RECEIVE].table[2 * i + 1].length = ROOM; queues[RECEIVE].table[2 * i + 1].flags = MMIO_DEVICE_WRITES;
        queues[EVENTS].table[i].address = (u64)&events[i]; queues[EVENTS].table[i].length = sizeof events[i]; queues[EVENTS].table[i].flags = MMIO_DEVICE_WRITES;
        mmio_give(device, RECEIVE, &queues[RECEIVE], 2 * i); mmio_give(device, EVENTS, &queues[EVENTS], i);
    }
    return 1;
}

void vsock_look(void) {
    if (!device) return;
    while (seen[EVENTS] != queues[EVENTS].used.at) {   /* the one that there is: all are over, which the host may not know */
        for (int way = 0; way < WAYS; way++) { if (ways[way].open) by(way, OVER, 0, 0); ways[way].open = 0; }
        for (int way = 0; way < WAYS; way++) shut(way);
        mmio_give(device, EVENTS, &queues[EVENTS], queues[EVENTS].used.ring[seen[EVENTS]++ % MMIO_SIZE].id);
    }
    while (seen[RECEIVE] != queues[RECEIVE].used.at) {
        u32 n = queues[RECEIVE].used.ring[seen[RECEIVE]++ % MMIO_SIZE].id;
        take(&headers[n / 2], rooms[n / 2], headers[n / 2].length);
        mmio_give(device, RECEIVE, &queues[RECEIVE], (u16)n);
    }
    pass_on(AGENT);
    pass_on(SUITE);
}
