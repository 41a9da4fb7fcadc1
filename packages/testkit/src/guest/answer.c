/*
 * A network device of virtio over MMIO (VIRTIO 1.x, 4.2 and 5.1), as Firecracker's machine has it, polled.
 * Command line: answer=1 sends back every UDP datagram of IPv4 that comes, from where it was sent to. One that begins with `try`,
 * four bytes of an address and two of a port goes on to there first. Each is said: `ANSWERED n`. Without a device `ANSWER none`.
 * What comes by TCP is tcp.c's to answer.
 */
#include "guest.h"
enum { NET = 1, HAS_MAC = 1 << 5, CONFIG = 0x100, SIZE = MMIO_SIZE, ROOM = 2048 /* Firecracker waits for room for 64 KiB */, HEADER = 12 };
enum { RECEIVE = 0, SEND = 1, ETHERNET = 14, IP = 20, UDP = 8, IS_TCP = 6, IS_UDP = 17, TRY = 9 };
static struct mmio_queue queues[2];
static u8 room[SIZE][ROOM], out[ROOM], mac[6];
static volatile u32 *device;
static u16 seen;
static u64 answered;

static void give(u32 number, u16 descriptor) { mmio_give(device, number, &queues[number], descriptor); }

void answer(const char *cmd) {
    if (!find(cmd, "answer=1")) return;
    device = mmio_device(NET, HAS_MAC);
    if (!device) { puts("ANSWER none\r\n"); return; }
    for (u32 i = 0; i < sizeof mac; i++) mac[i] = ((volatile u8 *)device)[CONFIG + i];
    mmio_queue(device, RECEIVE, &queues[RECEIVE]); mmio_queue(device, SEND, &queues[SEND]);
    mmio_begin(device);
    for (u16 i = 0; i < SIZE; i++) {
        queues[RECEIVE].table[i].address = (u64)room[i]; queues[RECEIVE].table[i].length = ROOM; queues[RECEIVE].table[i].flags = MMIO_DEVICE_WRITES;
        give(RECEIVE, i);
    }
    puts("ANSWER ready\r\n");
}

static void copy(u8 *to, const u8 *from, u32 length) { while (length--) *to++ = *from++; }

/* The frame in `out` goes, as this guest's: what came may have been for everybody. */
static void leave(u32 length) {
    copy(out + HEADER + 6, mac, sizeof mac);
    u16 before = queues[SEND].used.at;
    queues[SEND].table[0].address = (u64)out; queues[SEND].table[0].length = HEADER + length;
    give(SEND, 0);
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
    if (!device) return;
    while (seen != queues[RECEIVE].used.at) {
        u32 id = queues[RECEIVE].used.ring[seen % SIZE].id, length = queues[RECEIVE].used.ring[seen % SIZE].length;
        if (id < SIZE && length > HEADER && length <= ROOM) take(room[id] + HEADER, length - HEADER);
        seen++;
        give(RECEIVE, (u16)id);
    }
}
