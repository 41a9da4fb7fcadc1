/*
 * A network device of virtio over MMIO (VIRTIO 1.x, 4.2 and 5.1), as Firecracker's machine has it, polled.
 * Command line: answer=1 sends back every UDP datagram of IPv4 that comes, from where it was sent to. One that begins with `try`,
 * four bytes of an address and two of a port goes on to there first. Each is said: `ANSWERED n`. Without a device `ANSWER none`.
 * What comes by TCP is tcp.c's to answer.
 */
#include "guest.h"
enum { FIRST = 0xc0001000, STEP = 0x1000, DEVICES = 24, MAGIC = 0x74726976, NET = 1, ACKNOWLEDGE_DRIVER = 3, FEATURES_OK = 8, DRIVER_OK = 4, HAS_MAC = 1 << 5, CONFIG = 0x100 };
enum { SIZE = 64, ROOM = 2048 /* Firecracker waits for room for 64 KiB */, HEADER = 12, DEVICE_WRITES = 2, RECEIVE = 0, SEND = 1, ETHERNET = 14, IP = 20, UDP = 8, IS_TCP = 6, IS_UDP = 17, TRY = 9 };
struct descriptor { u64 address; u32 length; u16 flags, next; };
static struct __attribute__((aligned(4096))) queue {
    struct descriptor table[SIZE];
    volatile u16 avail[2 + SIZE];
    struct __attribute__((aligned(8))) { volatile u16 flags, at; volatile struct { u32 id, length; } ring[SIZE]; } used;
} queues[2];
static u8 room[SIZE][ROOM], out[ROOM], mac[6];
static volatile u32 *mmio;
static u16 seen;
static u64 answered;

static void put(u32 at, u32 value) { mmio[at / 4] = value; }
static void address(u32 at, volatile void *value) { put(at, (u32)(u64)value); put(at + 4, (u64)value >> 32); }

static void give(struct queue *queue, u16 descriptor) {
    queue->avail[2 + queue->avail[1] % SIZE] = descriptor; __asm__ volatile("" ::: "memory");
    queue->avail[1]++; __asm__ volatile("mfence" ::: "memory");
    put(0x50, queue == &queues[SEND]);
}

static void begin_queue(u32 number) {
    struct queue *queue = &queues[number];
    put(0x30, number); put(0x38, SIZE);
    address(0x80, queue->table); address(0x90, queue->avail); address(0xa0, &queue->used);
    put(0x44, 1);
}

void answer(const char *cmd) {
    if (!find(cmd, "answer=1")) return;
    for (u32 i = 0; i < DEVICES; i++) {
        mmio = (u32 *)(u64)(FIRST + i * STEP);
        if (mmio[0] == MAGIC && mmio[2] == NET) break;
        mmio = 0;
    }
    if (!mmio) { puts("ANSWER none\r\n"); return; }
    put(0x70, 0); put(0x70, 1); put(0x70, ACKNOWLEDGE_DRIVER);
    put(0x24, 0); put(0x20, HAS_MAC); put(0x24, 1); put(0x20, 1);   /* version 1 */
    for (u32 i = 0; i < sizeof mac; i++) mac[i] = ((volatile u8 *)mmio)[CONFIG + i];
    put(0x70, ACKNOWLEDGE_DRIVER | FEATURES_OK);
    begin_queue(RECEIVE); begin_queue(SEND);
    put(0x70, ACKNOWLEDGE_DRIVER | FEATURES_OK | DRIVER_OK);
    for (u16 i = 0; i < SIZE; i++) {
        queues[RECEIVE].table[i] = (struct descriptor){(u64)room[i], ROOM, DEVICE_WRITES, 0};
        give(&queues[RECEIVE], i);
    }
    puts("ANSWER ready\r\n");
}

static void copy(u8 *to, const u8 *from, u32 length) { while (length--) *to++ = *from++; }

/* The frame in `out` goes, as this guest's: what came may have been for everybody. */
static void leave(u32 length) {
    copy(out + HEADER + 6, mac, sizeof mac);
    u16 before = queues[SEND].used.at;
    queues[SEND].table[0] = (struct descriptor){(u64)out, HEADER + length, 0, 0};
    give(&queues[SEND], 0);
    while (queues[SEND].used.at == before) __asm__ volatile("pause" ::: "memory");
}

/* From the address that `got` was sent to. */
static void send(const u8 *got, u32 length, const u8 *to, const u8 *port) {
    u8 *ip = out + HEADER + ETHERNET;
    const u8 *was = got + ETHERNET;
    copy(out + HEADER, got, length);
    copy(out + HEADER, got + 6, 6);
    copy(ip + 12, was + 16, 4); copy(ip + 16, to, 4);
    copy(ip + IP, was + IP + 2, 2); copy(ip + IP + 2, port, 2);
    ip[10] = ip[11] = ip[IP + 6] = ip[IP + 7] = 0;   /* of UDP there need be none */
    u32 sum = 0;
    for (u32 i = 0; i < IP; i += 2) sum += (u32)(ip[i] << 8 | ip[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16); sum = (sum & 0xffff) + (sum >> 16);
    ip[10] = (u8)(~sum >> 8); ip[11] = (u8)~sum;
    leave(length);
}

static void take(const u8 *got, u32 length) {
    const u8 *ip = got + ETHERNET, *data = ip + IP + UDP;
    if (length < ETHERNET + IP + UDP || got[12] != 8 || got[13] != 0 || ip[0] != 0x45) return;
    if (ip[9] == IS_TCP) { u32 answer = tcp_answer(got, length, out + HEADER); if (answer) leave(answer); }
    if (ip[9] != IS_UDP) return;
    if (length >= ETHERNET + IP + UDP + TRY && data[0] == 't' && data[1] == 'r' && data[2] == 'y') send(got, length, data + 3, data + 7);
    send(got, length, ip + 12, ip + IP);
    puts("ANSWERED "); dec(++answered); puts("\r\n");
}

void answer_look(void) {
    if (!mmio) return;
    while (seen != queues[RECEIVE].used.at) {
        u32 id = queues[RECEIVE].used.ring[seen % SIZE].id, length = queues[RECEIVE].used.ring[seen % SIZE].length;
        if (id < SIZE && length > HEADER && length <= ROOM) take(room[id] + HEADER, length - HEADER);
        seen++;
        give(&queues[RECEIVE], (u16)id);
    }
}
