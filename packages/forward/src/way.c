#include "forward.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

enum { MOST_PORT = 65535, BACKLOG = 1024 };

static bool number_read(const char *text, long most, long *value) {
  char *end;
  *value = strtol(text, &end, 10);
  return *text >= '0' && *text <= '9' && *end == '\0' && *value >= 1 && *value <= most;
}

static bool place_read(const char *address, const char *port, struct place *place) {
  struct sockaddr_in *v4 = (struct sockaddr_in *)&place->address;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&place->address;
  long number;
  memset(place, 0, sizeof *place);
  if (!number_read(port, MOST_PORT, &number)) return false;
  if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)number);
    place->size = sizeof *v4;
    return true;
  }
  if (inet_pton(AF_INET6, address, &v6->sin6_addr) != 1) return false;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons((uint16_t)number);
  place->size = sizeof *v6;
  return true;
}

bool way_read(char *const words[6], struct way *way) {
  long index;
  way->udp = strcmp(words[0], "udp") == 0;
  if (!way->udp && strcmp(words[0], "tcp") != 0) return false;
  if (!place_read(words[1], words[2], &way->host) || !place_read(words[3], words[4], &way->guest)) return false;
  if (!number_read(words[5], INT32_MAX, &index)) return false;
  way->tap = (int)index;
  int length = snprintf(way->file, MOST_FILE, "%s %s %s %s", words[0], words[1], words[2], words[4]);
  return length > 0 && length < MOST_FILE;
}

int way_open(const struct way *way) {
  const int on = 1;
  int type = (way->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  int family = way->host.address.ss_family;
  int opened = socket(family, type, 0);
  if (opened < 0) return -1;
  // The same port of IPv4 may be somebody else's.
  if (family == AF_INET6 && setsockopt(opened, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) return -1;
  if (!way->udp && setsockopt(opened, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) return -1;
  if (bind(opened, (const struct sockaddr *)&way->host.address, way->host.size) < 0) return -1;
  if (!way->udp) return listen(opened, BACKLOG) < 0 ? -1 : opened;
  // Who is answered hears it from the address that he has spoken to.
  int level = family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
  int option = family == AF_INET6 ? IPV6_RECVPKTINFO : IP_PKTINFO;
  return setsockopt(opened, level, option, &on, sizeof on) < 0 ? -1 : opened;
}

bool way_lock(const struct way *way) {
  int file = open(way->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  return file >= 0 && flock(file, LOCK_EX | LOCK_NB) == 0;
}
