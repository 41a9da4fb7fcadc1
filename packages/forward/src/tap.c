#include "forward.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>

int tap_watch(void) {
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
  int watch = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (watch < 0 || bind(watch, (struct sockaddr *)&address, sizeof address) < 0) return -1;
  return watch;
}

// The kernel gives no number again before it has given all of them.
bool tap_there(int any_socket, int index) {
  struct ifreq request = {.ifr_ifindex = index};
  return ioctl(any_socket, SIOCGIFNAME, &request) == 0 || errno != ENODEV;
}

// What has changed is not read: also where some of it was lost, it is looked for.
void tap_heard(int watch) {
  char message[4096];
  while (recv(watch, message, sizeof message, 0) >= 0 || errno == ENOBUFS) continue;
}

void ends_wait(const struct ends *ends, struct pollfd polls[2]) {
  polls[0] = (struct pollfd){.fd = ends->listener, .events = POLLIN};
  polls[1] = (struct pollfd){.fd = ends->watch, .events = POLLIN};
}

bool ends_live(const struct ends *ends, const struct pollfd polls[2]) {
  if (polls[1].revents == 0) return true;
  tap_heard(ends->watch);
  return tap_there(ends->listener, ends->way->tap);
}
