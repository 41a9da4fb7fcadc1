// One port of the host that leads to one port of a machine in a network of the host: docs/design/0081-ports-in-networks.md.
#ifndef FORWARD_H
#define FORWARD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // accept4 and the like
#endif

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define FORWARD_NAME "ovm-forward"

// A descriptor that it is started with, beside 0, 1 and 2.
enum { PROGRAM_FD = 3 };

struct place {
  struct sockaddr_storage address;
  socklen_t size;
};

// way.c: from where to where.
enum { MOST_FILE = 128 };
struct way {
  bool udp;
  struct place host, guest;
  int tap;              // the machine's interface, by its index
  char file[MOST_FILE]; // locked as long as the port is open, in the folder that it is started in
};
// `tcp|udp ADDRESS PORT GUEST PORT INDEX`. False for any other words.
bool way_read(char *const words[6], struct way *way);
// The host's port, open. Negative with errno if it cannot be.
int way_open(const struct way *way);
bool way_lock(const struct way *way);

// tap.c: whether the machine is there. Negative with errno.
int tap_watch(void);
bool tap_there(int any_socket, int index);
void tap_heard(int watch);

// confine.c: from here on it has no rights, and few calls.
bool confine(void);

// tcp.c and udp.c: both end by the end of the machine alone.
struct ends {
  int listener, watch;
  const struct way *way;
};
// As many descriptors as it may need, as far as the host allows: before it has no rights.
void tcp_allow(void);
void carry_tcp(const struct ends *ends);
void carry_udp(const struct ends *ends);

// polls[0] and polls[1] of every wait: what comes anew, and the machine. False once that has gone.
void ends_wait(const struct ends *ends, struct pollfd polls[2]);
bool ends_live(const struct ends *ends, const struct pollfd polls[2]);

#endif
