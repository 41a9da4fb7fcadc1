#include "tap.h"

#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

typedef struct virtio_net_hdr header;

// The one's complement sum of RFC 1071, in the order of the network.
static uint16_t folded(const uint8_t *bytes, size_t length) {
  uint64_t sum = 0;
  for (size_t at = 0; at + 1 < length; at += 2) sum += (uint64_t)(bytes[at] << 8 | bytes[at + 1]);
  if (length % 2 != 0) sum += (uint64_t)bytes[length - 1] << 8;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

// A guest leaves checksums to its interface, which has the sum of the addresses there already. What it leaves to be cut
// into segments goes on in one piece: passt takes segments of that size.
static bool complete(const header *header, uint8_t *frame, size_t length) {
  if ((header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0) return true;
  size_t start = header->csum_start, at = start + header->csum_offset;
  if (start >= length || at + 2 > length) return false;
  uint16_t sum = folded(frame + start, length - start);
  // Of UDP no checksum would be none (RFC 768).
  if (sum == 0) sum = 0xffff;
  frame[at] = (uint8_t)(sum >> 8);
  frame[at + 1] = (uint8_t)sum;
  return true;
}

// The kernel takes a tag away, as if there had been none.
static bool tagged(struct msghdr *message) {
  struct tpacket_auxdata found;
  const struct cmsghdr *only = CMSG_FIRSTHDR(message);
  if (only == NULL || only->cmsg_level != SOL_PACKET || only->cmsg_type != PACKET_AUXDATA) return false;
  memcpy(&found, CMSG_DATA(only), sizeof found);
  return (found.tp_status & TP_STATUS_VLAN_VALID) != 0;
}

ssize_t frame_take(int device, uint8_t bytes[MOST_FRAME]) {
  header header;
  union {
    struct cmsghdr first;
    uint8_t bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
  } more;
  struct iovec parts[] = {{&header, sizeof header}, {bytes, MOST_FRAME}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2, .msg_control = &more, .msg_controllen = sizeof more};
  ssize_t got = recvmsg(device, &message, 0);
  if (got < 0) return -1;
  if (got <= (ssize_t)sizeof header || (message.msg_flags & MSG_TRUNC) != 0 || tagged(&message)) return 0;
  size_t length = (size_t)got - sizeof header;
  return complete(&header, bytes, length) ? (ssize_t)length : 0;
}

void frame_give(int device, const uint8_t *frame, size_t length) {
  header nothing = {0};
  struct iovec parts[] = {{&nothing, sizeof nothing}, {(void *)frame, length}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  sendmsg(device, &message, MSG_DONTWAIT);
}
