// The filter of one machine's network: docs/design/0043-outbound.md says what it lets through, and how it is started.
#ifndef FILTER_H
#define FILTER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // setresuid and the like
#endif

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Descriptors that it is started with, beside 0, 1 and 2.
enum { REQUEST_FD = 3, PROGRAM_FD = 4, GUEST_FD = 5, OUTSIDE_FD = 6 };

#define FILTER_NAME "ovm-filter"
// Where it is asked for ports (asks.c), in the folder that it is started in.
#define FILTER_SOCKET "ports.sock"

// What is outside: the passt that is there from the start, then those of ports that were added, by their places.
enum { FIRST = 0, MOST_PORTS = 64, OUTSIDES = 1 + MOST_PORTS, GONE = OUTSIDES, DROPPED = -1 };

enum { MAC_SIZE = 6, ADDRESS_SIZE = 16 };

// IPv4 ones as ::ffff:A.B.C.D, so that there is one kind.
struct address { uint8_t bytes[ADDRESS_SIZE]; };

// One end of a UDP datagram or TCP connection; port 0 of what has none.
struct peer {
  struct address address;
  uint16_t port;
};

// rules.c: what the guest may connect to, and which of its ports are published for UDP from the start.
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
// Lines of `text`: `mac M`, `port PORT` as ports.c reads it, `open|closed ADDRESS/PREFIX [PORT]`. False for any other,
// and without a MAC.
bool rules_read(const char *text, struct rules *rules);
// Has `ADDRESS/PREFIX [PORT]` be open, or as if nobody had opened it. Gives the answer to who asks for it.
const char *rules_change(struct rules *rules, bool open, const char *text);
// By the longest prefix; what no rule is of is closed.
bool rules_open(const struct rules *rules, const struct peer *peer);
bool rules_published(const struct rules *rules, uint16_t port);
bool read_number(const char *text, unsigned most, unsigned *value);

// packet.c: what of a frame the verdict depends on.
enum kind { OTHER, ARP, TCP, UDP, ECHO, NEIGHBOUR };
struct packet {
  enum kind kind;             // OTHER also for what is cut off, in pieces, tagged, or has headers in between
  bool v6, opens, accepts;    // opens, accepts: a connection, by its first segment or its second
  bool finishes, resets;      // a connection
  bool settles;               // asks whether anybody has `source` already, before it is used (RFC 4862, section 5.4)
  bool refused;               // by the verdict: its sender is told that there is no such connection
  struct peer source, destination;
  const uint8_t *frame, *tcp; // where Ethernet's header begins, and TCP's
};
void packet_read(const uint8_t *frame, size_t length, struct packet *packet);

// ports.c: ports of the host that lead into the guest, as `tcp|udp ADDRESS HOST GUEST`, and by whom.
enum { PORT_TEXT = 80 };
struct port {
  char text[PORT_TEXT]; // empty: there is none
  enum kind kind;
  bool v6;
  uint16_t guest;
  bool held;            // of the first passt: nobody is let in by it any more
};
bool port_read(const char *text, struct port *port);
// Of the first passt. False where there is no room.
bool ports_begin(const struct port *port);
// Gives what is outside of it, or DROPPED where there is no room.
int ports_add(const struct port *port);
void ports_remove(int outside);
// The added port of `outside`; NULL if it has none.
const struct port *ports_at(int outside);
// GONE for none, FIRST for one of the first passt, in `first` then.
int ports_find(const struct port *port, struct port **first);
// Whether another port of the first passt cannot be told from it by what comes.
bool ports_shared(const struct port *first);
bool ports_held(const struct packet *packet);
// Lines `open PORT` and `held PORT`, of the first passt, and `added PORT`. Gives the length.
enum { MOST_LIST = 2 * MOST_PORTS * (PORT_TEXT + 7) };
size_t ports_list(char text[MOST_LIST]);

// flows.c: who has come by a port, and from which outside.
struct flow {
  struct peer peer;
  uint16_t port;   // the guest's
  uint8_t outside; // GONE: the one that it came from
  bool left, entered; // of a connection: its end
  uint32_t seen;   // 0: there is none
};
// Of kind TCP or UDP; NULL where there is none, and of UDP for what is too long ago.
struct flow *flow_find(enum kind kind, const struct peer *peer, uint16_t port, uint32_t now);
// A new one, in the place of the one before.
void flow_note(const struct packet *entering, int outside, uint32_t now);
void flows_leave(int outside);
// Whether there ever was one that is not the first's.
bool flows_elsewhere(void);

// frame.c: where a frame goes. `now` in seconds, of any clock that only goes on.
int frame_leaves(const struct rules *rules, struct packet *packet, uint32_t now);
bool frame_enters(const struct rules *rules, struct packet *packet, int outside, uint32_t now);

// answer.c: frames of our own. Each gives its length.
enum { MOST_ANSWER = 74 };
// Ends the handshake of a connection that `packet` accepts.
size_t answer_accepted(const struct packet *packet, uint8_t answer[MOST_ANSWER]);
// Tells its sender that there is no such connection.
size_t answer_refused(const struct packet *packet, uint8_t answer[MOST_ANSWER]);
// Says nothing, from that address of the guest's.
size_t answer_announced(const uint8_t mac[MAC_SIZE], const struct address *guest, uint8_t answer[MOST_ANSWER]);

// addresses.c: those of the guest, as far as it has used them, or is about to.
enum { GUEST_ADDRESSES = 3 };
struct address *addresses_all(void);
// Whether it is a new one of its kind, which is empty at first; NULL if not.
const struct address *addresses_note(const struct packet *leaving);
bool address_empty(const struct address *address);
bool address_v4(const struct address *address);

// pump.c: frames on their way from one socket to another, each behind its length in four bytes.
enum { LENGTH = 4, MOST_FRAME = 4096 + 65536, PUMP_SIZE = 384 << 10 };
struct pump {
  size_t begin, ready, end; // of `bytes`: what is to be written, then what is not judged yet
  size_t rest;              // of a piece of which a first part is written
  uint8_t bytes[PUMP_SIZE];
};
// Whether a frame goes on in the pump that it came by.
typedef bool verdict(int outside, uint8_t *frame, size_t length, uint32_t now);
struct judge {
  verdict *passes;
  int outside;
  uint32_t now;
  const struct pump *before; // as long as frames wait there, none is judged; may be NULL
};
// False once `from` has ended, or says what no frame is.
bool pump_fill(struct pump *pump, int from, const struct judge *judge);
// What has come and waits. False for what no frame is.
bool pump_judge(struct pump *pump, const struct judge *judge);
// Until `to` takes no more; whole frames at a time. False once `to` has ended.
bool pump_drain(struct pump *pump, int to);
// Whole frames, each behind its length, behind those that are judged. For want of room they are lost, as frames may be.
void pump_add(struct pump *pump, const uint8_t *frames, size_t size);
void pump_add_answer(struct pump *pump, const uint8_t *answer, size_t length);
// As many whole frames as there is room for go on by `to`.
void pump_give(struct pump *from, struct pump *to);

// outsides.c: passts and their sockets.
struct outside {
  struct pump leaving, entering;
  bool owed; // it has been sent what ends a handshake once it is read
};
struct outside *outside_at(int outside);
// -1: there is none.
int outside_socket(int outside);
// The last one that there is, and those after it are none.
int outsides_last(void);
// A connection is the frames of an added port from here on.
bool outside_add(const struct port *port, int socket, const uint8_t mac[MAC_SIZE]);
void outside_remove(int outside);
void outsides_announce(const uint8_t mac[MAC_SIZE], const struct address *guest);

// asks.c: whoever may open the socket asks for ports, one line a connection, and is answered by lines, the last of them
// `ok` or why not: `add PORT`, whose connection carries frames from then on, except of a port that is held, which is open
// again; `drop PORT`; `list`; `watch`, whose connection ends with the next added port that does; and, of the rules, for
// `allow ADDRESS/PREFIX [PORT]`, which may be there, and `refuse` with the same, which need not.
enum { MOST_ASKS = 8 };
// In the folder that it is started in; false if it cannot be.
bool asks_open(void);
// Puts what is to be waited for into `polls`, and gives how many; then looks at what came.
size_t asks_wait(struct pollfd polls[1 + MOST_ASKS]);
void asks_look(const struct pollfd polls[1 + MOST_ASKS], size_t count, struct rules *rules);
void asks_changed(void);

// carry.c: until the guest or the first passt ends.
void carry(struct rules *rules);

// confine.c: from here on it is nobody, where it was root, and has the few system calls that it needs.
bool confine(void);

#endif
