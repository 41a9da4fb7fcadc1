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

static void note_end(const struct packet *packet, struct flow *flow, bool *side) {
  if (packet->finishes) *side = true;
  if (packet->resets) flow->left = flow->entered = true;
}

// Of a connection only the first segment makes passt connect to anything: all others are of one that it has.
static int segment_leaves(const struct rules *rules, struct packet *packet, uint32_t now) {
  const struct peer *to = &packet->destination;
  bool ends = packet->finishes || packet->resets;
  if (!packet->opens && !ends && !flows_elsewhere()) return FIRST;
  struct flow *flow = flow_find(TCP, to, packet->source.port, now);
  if (packet->opens) {
    // The guest's own connection, whoever came from there before.
    if (flow != NULL) flow->seen = 0;
    return rules_open(rules, to) ? FIRST : DROPPED;
  }
  if (flow == NULL) return FIRST;
  packet->refused = flow->outside == GONE && !packet->resets;
  if (flow->outside == GONE) return DROPPED;
  flow->seen = now;
  note_end(packet, flow, &flow->left);
  return flow->outside;
}

static int datagram_leaves(const struct rules *rules, const struct packet *packet, uint32_t now) {
  const struct peer *to = &packet->destination;
  bool open = is_dhcp(packet) || rules_open(rules, to);
  if (open && !flows_elsewhere()) return FIRST;
  const struct flow *flow = flow_find(UDP, to, packet->source.port, now);
  if (flow != NULL && flow->outside != GONE) return flow->outside;
  return open ? FIRST : DROPPED;
}

int frame_leaves(const struct rules *rules, struct packet *packet, uint32_t now) {
  if (packet->kind == OTHER || memcmp(packet->frame + MAC_SIZE, rules->mac, MAC_SIZE) != 0) return DROPPED;
  switch (packet->kind) {
    case TCP: return segment_leaves(rules, packet, now);
    case UDP: return datagram_leaves(rules, packet, now);
    case ECHO: return rules_open(rules, &packet->destination) ? FIRST : DROPPED;
    default: return FIRST;
  }
}

// Two clients may come from one port, by two ports of the host, to one of the guest: the second one tries again.
static bool segment_enters(struct packet *packet, int outside, uint32_t now) {
  bool ends = packet->finishes || packet->resets;
  if (outside == FIRST && !packet->opens && !ends) return true;
  struct flow *flow = flow_find(TCP, &packet->source, packet->destination.port, now);
  bool other = flow != NULL && flow->outside != outside;
  if (packet->opens) {
    bool lives = other && flow->outside != GONE && !(flow->left && flow->entered);
    packet->refused = lives || (outside == FIRST && ports_held(packet));
    if (!packet->refused) flow_note(packet, outside, now);
    return !packet->refused;
  }
  if (flow == NULL || other) return outside == FIRST;
  flow->seen = now;
  note_end(packet, flow, &flow->entered);
  return true;
}

// passt opens a port of the host for every UDP port that the guest sends from: what comes by that from where the guest
// may not send to is no answer.
static bool datagram_enters(const struct rules *rules, const struct packet *packet, int outside, uint32_t now) {
  if (outside == FIRST) {
    if (ports_held(packet)) return false;
    bool published = rules_published(rules, packet->destination.port), open = rules_open(rules, &packet->source);
    if (!published) return open || is_dhcp(&(struct packet){.v6 = packet->v6, .source = packet->destination, .destination = packet->source});
    if (open && !flows_elsewhere()) return true;
  }
  flow_note(packet, outside, now);
  return true;
}

// By an added port comes what is for its port of the guest. All else is the first passt's to say.
static bool leads(const struct port *port, const struct packet *packet) {
  return port != NULL && port->kind == packet->kind && port->guest == packet->destination.port;
}

bool frame_enters(const struct rules *rules, struct packet *packet, int outside, uint32_t now) {
  if (outside != FIRST && !leads(ports_at(outside), packet)) return false;
  switch (packet->kind) {
    case TCP: return segment_enters(packet, outside, now);
    case UDP: return datagram_enters(rules, packet, outside, now);
    default: return true;
  }
}
