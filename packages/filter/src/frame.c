#include "filter.h"

#include <string.h>

enum { DHCP_CLIENT = 68, DHCP_SERVER = 67, DHCP6_CLIENT = 546, DHCP6_SERVER = 547 };

static const struct address DHCP6_SERVERS = {{0xff, 0x02, [13] = 0x01, [15] = 0x02}};

// passt answers it itself, whomever it is sent to, and passes it on to nobody.
static bool is_dhcp(const struct packet *packet) {
  uint16_t from = packet->source.port, to = packet->destination.port;
  if (!packet->v6) return from == DHCP_CLIENT && to == DHCP_SERVER;
  return from == DHCP6_CLIENT && to == DHCP6_SERVER &&
         memcmp(&packet->destination.address, &DHCP6_SERVERS, sizeof DHCP6_SERVERS) == 0;
}

static bool may_send(const struct rules *rules, const struct packet *packet, uint32_t now) {
  const struct peer *to = &packet->destination;
  return is_dhcp(packet) || rules_open(rules, to) || flows_known(to, packet->source.port, now);
}

bool frame_leaves(const struct rules *rules, const struct packet *packet, uint32_t now) {
  if (packet->kind == OTHER || memcmp(packet->frame + MAC_SIZE, rules->mac, MAC_SIZE) != 0) return false;
  switch (packet->kind) {
    // Of a connection only the first segment makes passt connect to anything: all others are of one that it has.
    case TCP: return !packet->opens || rules_open(rules, &packet->destination);
    case UDP: return may_send(rules, packet, now);
    case ECHO: return rules_open(rules, &packet->destination);
    default: return true;
  }
}

// passt opens a port of the host for every UDP port that the guest sends from: what comes by that from where the guest
// may not send to is no answer.
bool frame_enters(const struct rules *rules, const struct packet *packet, uint32_t now) {
  if (packet->kind != UDP || rules_open(rules, &packet->source)) return true;
  uint16_t port = packet->destination.port;
  if (is_dhcp(&(struct packet){.v6 = packet->v6, .source = packet->destination, .destination = packet->source}))
    return true;
  if (!rules_published(rules, port)) return false;
  flows_note(&packet->source, port, now);
  return true;
}
