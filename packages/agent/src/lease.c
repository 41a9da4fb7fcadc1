// An address by DHCP (RFC 2131), for guests that have nothing else which asks for one.
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

enum { DISCOVER = 1, OFFER = 2, REQUEST = 3, ACK = 5 };
// Bytes of headers, and where things are behind those of IP and UDP.
enum { IP = 20, UDP = 8, FIXED = 236, COOKIE = 4, OPTIONS = FIXED + COOKIE, LEAST = 300, MOST = 1500 };
enum { ANSWER_MS = 2000, LOOK_MS = 100, LEAST_LEASE = 120, ETHERTYPE = 0x0800 };

struct link {
  int fd, index;
  char name[IF_NAMESIZE];
  uint8_t mac[6];
};

// As they come: in the order of the network.
struct lease {
  uint32_t address, mask, router, server, resolver, seconds;
};

static bool up(struct link *link) {
  struct ifreq request = {0};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  memcpy(request.ifr_name, link->name, IF_NAMESIZE);
  bool done = fd >= 0 && ioctl(fd, SIOCGIFHWADDR, &request) == 0;
  memcpy(link->mac, request.ifr_hwaddr.sa_data, sizeof link->mac);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  done = done && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  if (fd >= 0) close(fd);
  return done;
}

// The first interface that is not the loopback's.
static bool find_link(struct link *link) {
  struct if_nameindex *all = if_nameindex();
  bool found = false;
  for (struct if_nameindex *one = all; one && one->if_index && !found; one++) {
    if (strncmp(one->if_name, "eth", 3) != 0 && strncmp(one->if_name, "en", 2) != 0) continue;
    snprintf(link->name, sizeof link->name, "%s", one->if_name);
    link->index = (int)one->if_index;
    found = true;
  }
  if (all) if_freenameindex(all);
  return found && up(link);
}

static uint16_t checksum(const uint8_t *bytes, size_t length) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < length; i += 2) sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

static void put16_network(uint8_t *at, unsigned value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static void ask(const struct link *link, uint8_t type, uint32_t id, const struct lease *lease) {
  uint8_t packet[IP + UDP + LEAST] = {0};
  uint8_t *message = packet + IP + UDP, *option = message + OPTIONS;
  packet[0] = 0x45, packet[8] = 64, packet[9] = IPPROTO_UDP;
  put16_network(packet + 2, sizeof packet);
  memset(packet + 16, 0xff, 4);
  put16_network(packet + 10, checksum(packet, IP));
  put16_network(packet + IP, 68);
  put16_network(packet + IP + 2, 67);
  put16_network(packet + IP + 4, UDP + LEAST);
  message[0] = 1, message[1] = 1, message[2] = 6, message[10] = 0x80; // by broadcast
  memcpy(message + 4, &id, 4);
  memcpy(message + 28, link->mac, 6);
  memcpy(message + FIXED, "\x63\x82\x53\x63", COOKIE);
  *option++ = 53, *option++ = 1, *option++ = type;
  if (type == REQUEST) {
    *option++ = 50, *option++ = 4;
    option = (uint8_t *)memcpy(option, &lease->address, 4) + 4;
    *option++ = 54, *option++ = 4;
    option = (uint8_t *)memcpy(option, &lease->server, 4) + 4;
  }
  option = (uint8_t *)memcpy(option, "\x37\x04\x01\x03\x06\x33\xff", 7);
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE), .sll_ifindex = link->index};
  to.sll_halen = 6;
  memset(to.sll_addr, 0xff, 6);
  sendto(link->fd, packet, sizeof packet, 0, (struct sockaddr *)&to, sizeof to);
}

// The type of the message; 0 if it is none for us.
static uint8_t understand(const uint8_t *packet, size_t length, uint32_t id, struct lease *lease) {
  size_t ip = (size_t)(packet[0] & 15) * 4;
  if (length < IP || ip < IP || packet[0] >> 4 != 4 || packet[9] != IPPROTO_UDP) return 0;
  if (length < ip + UDP + OPTIONS || packet[ip + 2] != 0 || packet[ip + 3] != 68) return 0;
  const uint8_t *message = packet + ip + UDP, *end = packet + length;
  if (message[0] != 2 || memcmp(message + 4, &id, 4) != 0) return 0;
  uint8_t type = 0;
  memcpy(&lease->address, message + 16, 4);
  for (const uint8_t *at = message + OPTIONS; at + 1 < end && *at != 255;) {
    if (*at == 0) {
      at++;
      continue;
    }
    if (at + 2 + at[1] > end) return 0;
    uint32_t *into = at[0] == 1    ? &lease->mask
                     : at[0] == 3  ? &lease->router
                     : at[0] == 6  ? &lease->resolver
                     : at[0] == 51 ? &lease->seconds
                     : at[0] == 54 ? &lease->server
                                   : NULL;
    if (into && at[1] >= 4) memcpy(into, at + 2, 4);
    if (at[0] == 53 && at[1] == 1) type = at[2];
    at += 2 + at[1];
  }
  return type;
}

static bool answered(const struct link *link, uint8_t wanted, uint32_t id, struct lease *lease) {
  uint8_t packet[MOST];
  struct timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (long left = ANSWER_MS; left > 0;) {
    struct pollfd wait = {link->fd, POLLIN, 0};
    if (poll(&wait, 1, (int)left) <= 0) return false;
    ssize_t length = recv(link->fd, packet, sizeof packet, MSG_DONTWAIT);
    if (length > 0 && understand(packet, (size_t)length, id, lease) == wanted) return true;
    clock_gettime(CLOCK_MONOTONIC, &now);
    left = ANSWER_MS - ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000);
  }
  return false;
}

static bool obtain(struct link *link, struct lease *lease) {
  uint32_t id = 0;
  struct sockaddr_ll here = {.sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE), .sll_ifindex = link->index};
  link->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETHERTYPE));
  bool done = link->fd >= 0 && bind(link->fd, (struct sockaddr *)&here, sizeof here) == 0;
  if (getrandom(&id, sizeof id, GRND_NONBLOCK) < 0) id = (uint32_t)time(NULL);
  *lease = (struct lease){0};
  if (done) ask(link, DISCOVER, id, lease);
  done = done && answered(link, OFFER, id, lease);
  if (done) ask(link, REQUEST, id, lease);
  done = done && answered(link, ACK, id, lease);
  if (link->fd >= 0) close(link->fd);
  return done;
}

static struct sockaddr address_of(uint32_t address) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {address}};
  struct sockaddr any;
  memcpy(&any, &in, sizeof any);
  return any;
}

static void use(struct link *link, const struct lease *lease) {
  struct ifreq request = {0};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  memcpy(request.ifr_name, link->name, IF_NAMESIZE);
  request.ifr_addr = address_of(lease->address);
  ioctl(fd, SIOCSIFADDR, &request);
  request.ifr_netmask = address_of(lease->mask);
  ioctl(fd, SIOCSIFNETMASK, &request);
  struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = link->name};
  route.rt_dst = route.rt_genmask = address_of(0);
  route.rt_gateway = address_of(lease->router);
  if (lease->router) ioctl(fd, SIOCADDRT, &route);
  close(fd);
}

// In the place of whatever is there: a link that leads nowhere, too.
static void use_resolver(uint32_t address) {
  const char *aside = "/etc/resolv.conf.ovm";
  int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0) return;
  dprintf(fd, "nameserver %s\n", inet_ntoa((struct in_addr){address}));
  close(fd);
  if (rename(aside, "/etc/resolv.conf") != 0) unlink(aside);
}

void lease_keep(void) {
  struct link link = {0};
  struct lease lease;
  while (!find_link(&link)) poll(NULL, 0, LOOK_MS);
  for (;;) {
    if (!obtain(&link, &lease)) {
      poll(NULL, 0, LOOK_MS);
      continue;
    }
    use(&link, &lease);
    if (lease.resolver) use_resolver(lease.resolver);
    uint32_t seconds = ntohl(lease.seconds);
    sleep(seconds > LEAST_LEASE ? seconds / 2 : LEAST_LEASE / 2);
  }
}
