#include "filter.h"

#include <string.h>

// passt of Debian 12 (2023-03) leaves out the third segment of a handshake as long as its client has nothing to say:
// the guest's service, which waits for it, would never speak first. Later ones send it; twice it does no harm.

enum { ETHERNET = 14, V4_HEADER = 20, V6_HEADER = 40, TCP_HEADER = 20 };
enum { V4_CHECK = 10, TCP_CHECK = 16, IS_TCP = 6, ACK = 0x10 };

// Until passt says its own, in units of its scale: 8 KiB, or 2 MiB at most, of which a guest sends ten segments at first.
enum { WINDOW = 8192 };

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

static size_t put_v4(const uint8_t *to, uint8_t *ip) {
  static const uint8_t HEADER[12] = {0x45, [3] = V4_HEADER + TCP_HEADER, [6] = 0x40, [8] = 64, [9] = IS_TCP};
  memcpy(ip, HEADER, sizeof HEADER);
  memcpy(ip + 12, to + 16, 4);
  memcpy(ip + 16, to + 12, 4);
  put(ip + V4_CHECK, folded(sum(ip, V4_HEADER)), 2);
  return V4_HEADER;
}

static size_t put_v6(const uint8_t *to, uint8_t *ip) {
  static const uint8_t HEADER[8] = {0x60, [5] = TCP_HEADER, [6] = IS_TCP, [7] = 64};
  memcpy(ip, HEADER, sizeof HEADER);
  memcpy(ip + 8, to + 24, ADDRESS_SIZE);
  memcpy(ip + 24, to + 8, ADDRESS_SIZE);
  return V6_HEADER;
}

size_t handshake_end(const struct packet *packet, uint8_t answer[MOST_ANSWER]) {
  const uint8_t *frame = packet->frame, *to = packet->tcp;
  memcpy(answer, frame + MAC_SIZE, MAC_SIZE);
  memcpy(answer + MAC_SIZE, frame, MAC_SIZE);
  memcpy(answer + 2 * MAC_SIZE, frame + 2 * MAC_SIZE, 2);
  uint8_t *ip = answer + ETHERNET;
  size_t header = (packet->v6 ? put_v6 : put_v4)(frame + ETHERNET, ip);
  uint8_t *tcp = ip + header;
  memcpy(tcp, to + 2, 2);
  memcpy(tcp + 2, to, 2);
  memcpy(tcp + 4, to + 8, 4);
  put(tcp + 8, get(to + 4) + 1, 4);
  put(tcp + 12, TCP_HEADER << 10 | ACK, 2);
  put(tcp + 14, WINDOW, 2);
  put(tcp + TCP_CHECK, 0, 4);
  // With the addresses, which end the header of either version.
  size_t addresses = packet->v6 ? 2 * ADDRESS_SIZE : 8;
  put(tcp + TCP_CHECK, folded(sum(tcp - addresses, addresses + TCP_HEADER) + IS_TCP + TCP_HEADER), 2);
  return ETHERNET + header + TCP_HEADER;
}
