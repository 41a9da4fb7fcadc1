#include "filter.h"

#include <string.h>

enum { ETHERNET = 14, V4_HEADER = 20, V6_HEADER = 40, TCP_HEADER = 20, PORT_HEADER = 8, ECHO_HEADER = 8, SOLICIT_TARGET = 8 };
enum { TYPE_V4 = 0x0800, TYPE_ARP = 0x0806, TYPE_V6 = 0x86dd };
enum { IS_ICMP = 1, IS_TCP = 6, IS_UDP = 17, IS_ICMP6 = 58 };
enum { ECHO_REQUEST = 8, ECHO6_REQUEST = 128, ROUTER_SOLICIT = 133, SOLICIT = 135, ADVERT = 136 };
enum { PIECES = 0x3fff, FIN = 0x01, SYN = 0x02, RST = 0x04, ACK = 0x10 };

static uint16_t word(const uint8_t *bytes) {
  return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void read_ports(const uint8_t *at, struct packet *packet) {
  packet->source.port = word(at);
  packet->destination.port = word(at + 2);
}

static void read_payload(const uint8_t *at, size_t length, unsigned protocol, struct packet *packet) {
  if (protocol == IS_TCP && length >= TCP_HEADER) {
    packet->kind = TCP;
    packet->opens = (at[13] & (SYN | ACK)) == SYN;
    packet->accepts = (at[13] & (SYN | ACK)) == (SYN | ACK);
    packet->finishes = (at[13] & FIN) != 0;
    packet->resets = (at[13] & RST) != 0;
    packet->tcp = at;
    read_ports(at, packet);
  } else if (protocol == IS_UDP && length >= PORT_HEADER) {
    packet->kind = UDP;
    read_ports(at, packet);
  } else if (protocol == (packet->v6 ? IS_ICMP6 : IS_ICMP) && length >= ECHO_HEADER) {
    if (at[0] == (packet->v6 ? ECHO6_REQUEST : ECHO_REQUEST)) packet->kind = ECHO;
    else if (packet->v6 && (at[0] == ROUTER_SOLICIT || at[0] == SOLICIT || at[0] == ADVERT)) packet->kind = NEIGHBOUR;
    packet->settles = packet->kind == NEIGHBOUR && at[0] == SOLICIT && length >= SOLICIT_TARGET + ADDRESS_SIZE &&
                      address_empty(&packet->source.address);
    if (packet->settles) memcpy(&packet->source.address, at + SOLICIT_TARGET, ADDRESS_SIZE);
  }
}

static struct address mapped(const uint8_t *v4) {
  struct address address = {{[10] = 0xff, [11] = 0xff}};
  memcpy(address.bytes + 12, v4, 4);
  return address;
}

static void read_v4(const uint8_t *at, size_t length, struct packet *packet) {
  if (length < V4_HEADER || at[0] >> 4 != 4) return;
  size_t header = (at[0] & 15u) * 4, total = word(at + 2);
  if (header < V4_HEADER || total < header || total > length || (word(at + 6) & PIECES) != 0) return;
  packet->source.address = mapped(at + 12);
  packet->destination.address = mapped(at + 16);
  read_payload(at + header, total - header, at[9], packet);
}

static void read_v6(const uint8_t *at, size_t length, struct packet *packet) {
  if (length < V6_HEADER || at[0] >> 4 != 6) return;
  size_t payload = word(at + 4);
  if (payload > length - V6_HEADER) return;
  packet->v6 = true;
  memcpy(&packet->source.address, at + 8, ADDRESS_SIZE);
  memcpy(&packet->destination.address, at + 24, ADDRESS_SIZE);
  read_payload(at + V6_HEADER, payload, at[6], packet);
}

void packet_read(const uint8_t *frame, size_t length, struct packet *packet) {
  *packet = (struct packet){.kind = OTHER, .frame = frame};
  if (length < ETHERNET) return;
  unsigned type = word(frame + 12);
  if (type == TYPE_ARP) packet->kind = ARP;
  else if (type == TYPE_V4) read_v4(frame + ETHERNET, length - ETHERNET, packet);
  else if (type == TYPE_V6) read_v6(frame + ETHERNET, length - ETHERNET, packet);
}
