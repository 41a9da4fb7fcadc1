// The filter of one machine's network: docs/design/0043-outbound.md says what it lets through, and how it is started.
#ifndef FILTER_H
#define FILTER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // setresuid and the like
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Descriptors that it is started with, beside 0, 1 and 2.
enum { REQUEST_FD = 3, PROGRAM_FD = 4, GUEST_FD = 5, OUTSIDE_FD = 6 };

#define FILTER_NAME "ovm-filter"

enum { MAC_SIZE = 6, ADDRESS_SIZE = 16 };

// IPv4 ones as ::ffff:A.B.C.D, so that there is one kind.
struct address { uint8_t bytes[ADDRESS_SIZE]; };

// One end of a UDP datagram or TCP connection; port 0 of what has none.
struct peer {
  struct address address;
  uint16_t port;
};

// rules.c: what the guest may connect to, and which of its ports are published for UDP.
enum { MOST_RULES = 8192, PORTS = 65536 };
struct rule {
  struct peer peer; // port 0: every port
  uint8_t prefix;   // bits of the address, of 128
  bool open;
};
struct rules {
  uint8_t mac[MAC_SIZE];
  size_t count;
  uint8_t published[PORTS / 8];
  struct rule all[MOST_RULES]; // the longest prefix first
};
// Lines of `text`: `mac M`, `udp PORT`, `open|closed ADDRESS/PREFIX [PORT]`. False for any other, and without a MAC.
bool rules_read(const char *text, struct rules *rules);
// By the longest prefix; what no rule is of is closed.
bool rules_open(const struct rules *rules, const struct peer *peer);
bool rules_published(const struct rules *rules, uint16_t port);

// flows.c: who has sent a datagram to a published port and may be answered.
void flows_note(const struct peer *peer, uint16_t port, uint32_t now);
bool flows_known(const struct peer *peer, uint16_t port, uint32_t now);

// packet.c: what of a frame the verdict depends on.
enum kind { OTHER, ARP, TCP, UDP, ECHO, NEIGHBOUR };
struct packet {
  enum kind kind;             // OTHER also for what is cut off, in pieces, tagged, or has headers in between
  bool v6, opens, accepts;    // opens, accepts: a connection, by its first segment or its second
  struct peer source, destination;
  const uint8_t *frame, *tcp; // where Ethernet's header begins, and TCP's
};
void packet_read(const uint8_t *frame, size_t length, struct packet *packet);

// frame.c: whether a frame goes on. `now` in seconds, of any clock that only goes on.
typedef bool verdict(const struct rules *rules, const struct packet *packet, uint32_t now);
bool frame_leaves(const struct rules *rules, const struct packet *packet, uint32_t now);
bool frame_enters(const struct rules *rules, const struct packet *packet, uint32_t now);

// handshake.c: the frame that ends the handshake of a connection that `packet` accepts. Gives its length.
enum { MOST_ANSWER = 74 };
size_t handshake_end(const struct packet *packet, uint8_t answer[MOST_ANSWER]);

// pump.c: frames on their way from one socket to another, each behind its length in four bytes.
enum { MOST_FRAME = 4096 + 65536, PUMP_SIZE = 384 << 10 };
struct pump {
  verdict *passes;     // which of them go on
  struct pump *ends;   // of handshakes that are accepted by these frames, if those are ended here
  size_t begin, ready, end; // of `bytes`: what is to be written, then what is not judged yet
  uint8_t bytes[PUMP_SIZE];
};
// False once `from` has ended, or says what no frame is.
bool pump_fill(struct pump *pump, int from, const struct rules *rules, uint32_t now);
// False once `to` has ended.
bool pump_drain(struct pump *pump, int to);
// What is ready in `from` goes on by `to`.
void pump_give(struct pump *from, struct pump *to);

// confine.c: from here on it is nobody, where it was root, and has the few system calls that it needs.
bool confine(void);

#endif
