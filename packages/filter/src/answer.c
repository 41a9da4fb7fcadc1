#include "filter.h"

#include <string.h>

// passt of Debian 12 (2023-03) leaves out the third segment of a handshake as long as its client has nothing to say:
// the guest's service, which waits for it, would never speak first. Later ones send it; twice it does no harm. And it
// learns a guest's address from what the guest sends alone, of which the passt of an added port has seen nothing, and the
// first one nothing either by IPv6, as long as the guest has only made itself an address.

enum { ETHERNET = 14, V4_HEADER = 20, V6_HEADER = 40, TCP_HEADER = 20, NOTHING = 8 };
enum { V4_CHECK = 10, TCP_CHECK = 16, IS_TCP = 6, RESERVED = 255, RST = 0x04, ACK = 0x10 };
enum { TYPE_V4 = 0x0800, TYPE_V6 = 0x86dd };

// Until passt says its own, in units of its scale: 8 KiB, or 2 MiB at most, of which a guest sends ten segments at first.
enum { WINDOW = 8192 };

static const uint8_t BROADCAST[MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void put(uint8_t *at, uint32_t value, size_t bytes) {
  for (size_t byte = 0; byte < bytes; byte++) at[byte] = (uint8_t)(value >> (8 * (bytes - 1 - byte)));
}

static uint32_t get(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

// RFC 1071, of an even number of bytes.
static uint32_t sum(const uint8_t *bytes, size_t length) {
  uint32_t total = 0;
  for (size_t at = 0; at < length; at += 2) total += (uint32_t)bytes[at] << 8 | bytes[at + 1];
  return total;
}

static uint32_t folded(uint32_t total) {
  while (total >> 16 != 0) total = (total & 0xffff) + (total >> 16);
  return ~total & 0xffff;
}

struct header {
  bool v6;
  uint8_t protocol;
  size_t payload;
  const struct address *from, *to;
};

static size_t put_v4(uint8_t *ip, const struct header *what) {
  static const uint8_t HEADER[12] = {0x45, [6] = 0x40, [8] = 64};
  memcpy(ip, HEADER, sizeof HEADER);
  put(ip + 2, (uint32_t)(V4_HEADER + what->payload), 2);
  ip[9] = what->protocol;
  memcpy(ip + 12, what->from->bytes + 12, 4);
  memcpy(ip + 16, what->to->bytes + 12, 4);
  put(ip + V4_CHECK, folded(sum(ip, V4_HEADER)), 2);
  return V4_HEADER;
}

static size_t put_v6(uint8_t *ip, const struct header *what) {
  const uint8_t header[8] = {0x60, [5] = (uint8_t)what->payload, [6] = what->protocol, [7] = 64};
  memcpy(ip, header, sizeof header);
  memcpy(ip + 8, what->from->bytes, ADDRESS_SIZE);
  memcpy(ip + 24, what->to->bytes, ADDRESS_SIZE);
  return V6_HEADER;
}

static size_t put_headers(uint8_t *frame, const uint8_t *to, const uint8_t *from, const struct header *what) {
  memcpy(frame, to, MAC_SIZE);
  memcpy(frame + MAC_SIZE, from, MAC_SIZE);
  put(frame + 2 * MAC_SIZE, what->v6 ? TYPE_V6 : TYPE_V4, 2);
  return ETHERNET + (what->v6 ? put_v6 : put_v4)(frame + ETHERNET, what);
}

// A segment without data to its sender, which goes on from what that has said.
static size_t put_segment(const struct packet *packet, uint8_t flags, uint8_t *answer) {
  const uint8_t *frame = packet->frame, *to = packet->tcp;
  const struct header header = {packet->v6, IS_TCP, TCP_HEADER, &packet->destination.address, &packet->source.address};
  size_t begin = put_headers(answer, frame + MAC_SIZE, frame, &header);
  uint8_t *tcp = answer + begin;
  put(tcp, packet->destination.port, 2);
  put(tcp + 2, packet->source.port, 2);
  memcpy(tcp + 4, to + 8, 4);
  put(tcp + 8, get(to + 4) + 1, 4);
  put(tcp + 12, TCP_HEADER << 10 | flags, 2);
  put(tcp + 14, (flags & RST) != 0 ? 0 : WINDOW, 2);
  put(tcp + TCP_CHECK, 0, 4);
  // With the addresses, which end the header of either version.
  size_t addresses = packet->v6 ? 2 * ADDRESS_SIZE : 8;
  put(tcp + TCP_CHECK, folded(sum(tcp - addresses, addresses + TCP_HEADER) + IS_TCP + TCP_HEADER), 2);
  return begin + TCP_HEADER;
}

size_t answer_accepted(const struct packet *packet, uint8_t answer[MOST_ANSWER]) {
  return put_segment(packet, ACK, answer);
}

size_t answer_refused(const struct packet *packet, uint8_t answer[MOST_ANSWER]) {
  return put_segment(packet, packet->opens ? RST | ACK : RST, answer);
}

size_t answer_announced(const uint8_t mac[MAC_SIZE], const struct address *guest, uint8_t answer[MOST_ANSWER]) {
  const struct header header = {!address_v4(guest), RESERVED, NOTHING, guest, guest};
  size_t begin = put_headers(answer, BROADCAST, mac, &header);
  memset(answer + begin, 0, NOTHING);
  return begin + NOTHING;
}
