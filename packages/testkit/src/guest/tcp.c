/*
 * TCP over IPv4 (RFC 9293), enough to give back what comes by one connection after the other: by the last that began, while any
 * other is told that there is none. What comes again is answered again; nothing is sent by itself. Each is said: `CONNECTED n`.
 */
#include "guest.h"
enum { ETHERNET = 14, IP = 20, TCP = 20, IS_TCP = 6, FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, ENDS = 12, WINDOW = 8192 };
/* `ends` are both addresses and both ports, as they come; `last` is how it was before what came last. */
static struct { u8 ends[ENDS]; u32 first, begins; struct { u32 got, sent; } now, last; int open, over; } one;
static u64 connected;

static u32 get32(const u8 *p) { return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3]; }
static void put16(u8 *p, u32 v) { p[0] = (u8)(v >> 8); p[1] = (u8)v; }
static void put32(u8 *p, u32 v) { put16(p, v >> 16); put16(p + 2, v & 0xffff); }
static void copy(u8 *to, const u8 *from, u32 length) { while (length--) *to++ = *from++; }
static int same(const u8 *a, const u8 *b, u32 length) { while (length--) if (*a++ != *b++) return 0; return 1; }
static u32 clock(void) { u32 low; __asm__ volatile("rdtsc" : "=a"(low) : : "edx"); return low; }

static u32 sum(const u8 *p, u32 length, u32 so_far) {
    for (u32 i = 0; i < length; i++) so_far += i & 1 ? p[i] : (u32)p[i] << 8;
    return so_far;
}
static u32 folded(u32 v) { while (v >> 16) v = (v & 0xffff) + (v >> 16); return ~v & 0xffff; }

struct segment { u32 flags, sequence, acknowledged, size; const u8 *data; };

/* The answer to the frame `got`; its length. */
static u32 framed(u8 *frame, const u8 *got, struct segment s) {
    const u8 *was = got + ETHERNET;
    u8 *ip = frame + ETHERNET, *tcp = ip + IP;
    u32 length = TCP + s.size;
    copy(frame, got + 6, 6); put16(frame + 12, 0x0800);
    put32(ip, 0x45000000 | (IP + length)); put32(ip + 4, 0x4000); put32(ip + 8, 64 << 24 | IS_TCP << 16);
    copy(ip + 12, was + 16, 4); copy(ip + 16, was + 12, 4);
    put16(ip + 10, folded(sum(ip, IP, 0)));
    copy(tcp, was + IP + 2, 2); copy(tcp + 2, was + IP, 2);
    put32(tcp + 4, s.sequence); put32(tcp + 8, s.acknowledged);
    put16(tcp + 12, (TCP / 4) << 12 | s.flags); put16(tcp + 14, WINDOW); put32(tcp + 16, 0);
    copy(tcp + TCP, s.data, s.size);
    put16(tcp + 16, folded(sum(ip + 12, 8, sum(tcp, length, IS_TCP + length))));
    return ETHERNET + IP + length;
}

static void begin(const u8 *ends, u32 first) {
    copy(one.ends, ends, ENDS);
    one.first = first; one.begins = clock();
    one.now.got = first; one.now.sent = one.begins + 1; one.last = one.now;
    one.open = 1; one.over = 0;
    puts("CONNECTED "); dec(++connected); puts("\r\n");
}

u32 tcp_answer(const u8 *got, u32 length, u8 *frame) {
    const u8 *ip = got + ETHERNET, *tcp = ip + IP;
    u32 all = (u32)ip[2] << 8 | ip[3], head = (u32)(tcp[12] >> 4) * 4;
    if (length < ETHERNET + IP + TCP || all + ETHERNET > length || head < TCP || all < IP + head) return 0;
    u32 flags = tcp[13], sequence = get32(tcp + 4), size = all - IP - head, fin = (flags & FIN) != 0;
    int ours = one.open && same(one.ends, ip + 12, ENDS);
    if (flags & RST) { if (ours) one.open = 0; return 0; }
    if (flags & SYN) {
        if (!ours || sequence + 1 != one.first) begin(ip + 12, sequence + 1);
        if (one.now.got == one.first) return framed(frame, got, (struct segment){SYN | ACK, one.begins, one.first, 0, 0});
    }
    else if (!ours) {
        if (flags & ACK) return framed(frame, got, (struct segment){RST, get32(tcp + 8), 0, 0, 0});
        return framed(frame, got, (struct segment){RST | ACK, 0, sequence + size + fin, 0, 0});
    }
    else if (!size && !fin) { if (one.over && get32(tcp + 8) == one.now.sent) one.open = 0; return 0; }
    else if (sequence == one.now.got || sequence == one.last.got) {
        if (sequence == one.now.got) one.last = one.now;
        u32 sent = one.last.sent;
        one.now.got = sequence + size + fin; one.now.sent = sent + size + fin; one.over = (int)fin;
        return framed(frame, got, (struct segment){ACK | PSH | (fin ? FIN : 0), sent, one.now.got, size, tcp + head});
    }
    return framed(frame, got, (struct segment){ACK, one.now.sent, one.now.got, 0, 0});
}
