#include "forward.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// Whoever has been silent for the longest time makes room, and for so many seconds is forgotten.
enum { MOST_CLIENTS = 256, SILENCE = 180, LARGEST = 65536, AT_ONCE = 64, LOOK_MS = 10000 };

union told {
  struct cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct client {
  int fd; // to the guest; 0: there is none
  time_t heard;
  struct place from;
  struct in_pktinfo v4; // the host's address that it speaks to
  struct in6_pktinfo v6;
};
static struct client clients[MOST_CLIENTS];
static char datagram[LARGEST];

static time_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec;
}

static void client_end(struct client *client) {
  if (client->fd != 0) close(client->fd);
  client->fd = 0;
}

// Nothing else was asked for.
static void told_read(struct msghdr *message, struct client *client) {
  struct cmsghdr *one = CMSG_FIRSTHDR(message);
  if (one == NULL) return;
  if (one->cmsg_level == IPPROTO_IP && one->cmsg_type == IP_PKTINFO) memcpy(&client->v4, CMSG_DATA(one), sizeof client->v4);
  if (one->cmsg_level == IPPROTO_IPV6 && one->cmsg_type == IPV6_PKTINFO) memcpy(&client->v6, CMSG_DATA(one), sizeof client->v6);
  // The host's routes say by which way; but a link-local address is one of one link.
  client->v4.ipi_ifindex = 0;
  if (!IN6_IS_ADDR_LINKLOCAL(&client->v6.ipi6_addr)) client->v6.ipi6_ifindex = 0;
}

static bool is_same(const struct client *one, const struct client *other) {
  return one->from.size == other->from.size && memcmp(&one->from.address, &other->from.address, one->from.size) == 0 &&
         memcmp(&one->v4.ipi_spec_dst, &other->v4.ipi_spec_dst, sizeof one->v4.ipi_spec_dst) == 0 &&
         memcmp(&one->v6, &other->v6, sizeof one->v6) == 0;
}

static struct client *client_of(const struct client *who, const struct place *guest) {
  struct client *to = clients;
  for (struct client *one = clients; one < clients + MOST_CLIENTS; one++) {
    if (one->fd != 0 && is_same(one, who)) return one;
    if (to->fd != 0 && (one->fd == 0 || one->heard < to->heard)) to = one;
  }
  client_end(to);
  *to = *who;
  to->fd = socket(guest->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (to->fd >= 0 && connect(to->fd, (const struct sockaddr *)&guest->address, guest->size) == 0) return to;
  if (to->fd >= 0) close(to->fd);
  to->fd = 0;
  return NULL;
}

static bool inwards(const struct ends *ends) {
  struct client who = {.heard = now()};
  struct iovec bytes = {datagram, sizeof datagram};
  union told told;
  struct msghdr message = {.msg_name = &who.from.address, .msg_namelen = sizeof who.from.address, .msg_iov = &bytes, .msg_iovlen = 1};
  message.msg_control = told.bytes;
  message.msg_controllen = sizeof told.bytes;
  ssize_t got = recvmsg(ends->listener, &message, 0);
  if (got < 0) return false;
  who.from.size = message.msg_namelen;
  told_read(&message, &who);
  struct client *client = client_of(&who, &ends->way->guest);
  if (client == NULL) return true;
  client->heard = who.heard;
  // What the guest does not take is lost, as it may be anywhere.
  if (send(client->fd, datagram, (size_t)got, 0) < 0) return true;
  return true;
}

static bool outwards(const struct ends *ends, struct client *client) {
  ssize_t got = recv(client->fd, datagram, sizeof datagram, 0);
  // That nobody listens in the guest is no reason not to go on.
  if (got < 0) return errno == ECONNREFUSED;
  bool v6 = client->from.address.ss_family == AF_INET6;
  struct iovec bytes = {datagram, (size_t)got};
  union told told;
  memset(&told, 0, sizeof told);
  struct msghdr message = {.msg_name = &client->from.address, .msg_namelen = client->from.size, .msg_iov = &bytes, .msg_iovlen = 1};
  message.msg_control = told.bytes;
  size_t size = v6 ? sizeof client->v6 : sizeof client->v4;
  message.msg_controllen = (socklen_t)CMSG_SPACE(size);
  struct cmsghdr *source = CMSG_FIRSTHDR(&message);
  source->cmsg_level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
  source->cmsg_type = v6 ? IPV6_PKTINFO : IP_PKTINFO;
  source->cmsg_len = (socklen_t)CMSG_LEN(size);
  memcpy(CMSG_DATA(source), v6 ? (void *)&client->v6 : (void *)&client->v4, size);
  client->heard = now();
  if (sendmsg(ends->listener, &message, 0) < 0) return true;
  return true;
}

void carry_udp(const struct ends *ends) {
  static struct pollfd polls[2 + MOST_CLIENTS];
  for (;;) {
    ends_wait(ends, polls);
    time_t at_least = now() - SILENCE;
    bool any = false;
    for (size_t at = 0; at < MOST_CLIENTS; at++) {
      if (clients[at].heard < at_least) client_end(&clients[at]);
      any |= clients[at].fd != 0;
      polls[2 + at] = (struct pollfd){.fd = clients[at].fd == 0 ? -1 : clients[at].fd, .events = POLLIN};
    }
    if (poll(polls, 2 + MOST_CLIENTS, any ? LOOK_MS : -1) < 0) continue;
    if (!ends_live(ends, polls)) return;
    for (size_t at = 0; at < MOST_CLIENTS; at++)
      for (int more = AT_ONCE; polls[2 + at].revents != 0 && more > 0 && outwards(ends, &clients[at]); more--) continue;
    for (int more = AT_ONCE; polls[0].revents != 0 && more > 0 && inwards(ends); more--) continue;
  }
}
