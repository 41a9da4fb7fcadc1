#include "tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

// What passt tells its guests, and the most that Linux takes for such an interface.
enum { MTU = 65521 };
// Of frames that wait; the host gives less to who has no rights there.
static const int ROOM = 4 << 20;

// The namespace has no part in what its guest says: no address of its own, and nothing that it sends by itself.
static bool silence(void) {
  int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT;
  bool said = write(fd, "1", 1) == 1;
  close(fd);
  return said;
}

static bool begin(struct ifreq *request) {
  int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (any < 0) return false;
  request->ifr_mtu = MTU;
  bool begun = ioctl(any, SIOCSIFMTU, request) == 0;
  request->ifr_flags = IFF_UP;
  begun = begun && ioctl(any, SIOCSIFFLAGS, request) == 0;
  close(any);
  return begun;
}

// Nobody's in particular: whoever is in the namespace may have it, be that another user by then.
bool device_make(void) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  strcpy(request.ifr_name, INTERFACE);
  bool made = silence() && ioctl(fd, TUNSETIFF, &request) == 0 && ioctl(fd, TUNSETPERSIST, 1) == 0;
  made = made && begin(&request);
  close(fd);
  return made;
}

int device_open(void) {
  int yes = 1, device = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (device < 0) return -1;
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(INTERFACE)};
  if (setsockopt(device, SOL_SOCKET, SO_RCVBUFFORCE, &ROOM, sizeof ROOM) < 0)
    setsockopt(device, SOL_SOCKET, SO_RCVBUF, &ROOM, sizeof ROOM);
  if (setsockopt(device, SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof yes) == 0 &&
      setsockopt(device, SOL_PACKET, PACKET_AUXDATA, &yes, sizeof yes) == 0 &&
      setsockopt(device, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes) == 0 &&
      bind(device, (struct sockaddr *)&address, sizeof address) == 0)
    return device;
  close(device);
  return -1;
}
