#include "filter.h"

#include <string.h>

// How long an answer to a datagram may take, in seconds: as long as passt keeps a way open for it.
enum { ANSWER_S = 180 };

// In sets of a few, in which one that is over, or the oldest one, makes room: whoever floods a port can only keep others
// from being answered.
enum { WAYS = 4, DATAGRAM_SETS = 1024, CONNECTION_SETS = 8192 };

static struct flow datagrams[DATAGRAM_SETS][WAYS], connections[CONNECTION_SETS][WAYS];
static bool elsewhere;

static struct flow *set_of(enum kind kind, const struct peer *peer, uint16_t port) {
  uint32_t hash = 2166136261u ^ ((uint32_t)peer->port << 16 | port);
  for (size_t at = 0; at < ADDRESS_SIZE; at++) hash = (hash ^ peer->address.bytes[at]) * 16777619u;
  hash ^= hash >> 16;
  return kind == TCP ? connections[hash % CONNECTION_SETS] : datagrams[hash % DATAGRAM_SETS];
}

static bool same(const struct flow *flow, const struct peer *peer, uint16_t port) {
  return flow->seen != 0 && flow->port == port && flow->peer.port == peer->port &&
         memcmp(&flow->peer.address, &peer->address, sizeof peer->address) == 0;
}

struct flow *flow_find(enum kind kind, const struct peer *peer, uint16_t port, uint32_t now) {
  struct flow *set = set_of(kind, peer, port);
  for (struct flow *flow = set; flow < set + WAYS; flow++)
    if (same(flow, peer, port)) return kind == TCP || now - flow->seen <= ANSWER_S ? flow : NULL;
  return NULL;
}

static uint32_t worth(const struct flow *flow) {
  return flow->outside == GONE || (flow->left && flow->entered) ? 0 : flow->seen;
}

void flow_note(const struct packet *entering, int outside, uint32_t now) {
  const struct peer *peer = &entering->source;
  uint16_t port = entering->destination.port;
  struct flow *set = set_of(entering->kind, peer, port), *to = set;
  for (struct flow *flow = set; flow < set + WAYS; flow++) {
    if (same(flow, peer, port)) {
      to = flow;
      break;
    }
    if (worth(flow) < worth(to)) to = flow;
  }
  *to = (struct flow){.peer = *peer, .port = port, .outside = (uint8_t)outside, .seen = now};
  elsewhere = elsewhere || outside != FIRST;
}

static void leave(struct flow *all, size_t count, int outside) {
  for (size_t at = 0; at < count; at++)
    if (all[at].outside == outside) all[at].outside = GONE;
}

void flows_leave(int outside) {
  leave(&datagrams[0][0], DATAGRAM_SETS * WAYS, outside);
  leave(&connections[0][0], CONNECTION_SETS * WAYS, outside);
}

bool flows_elsewhere(void) {
  return elsewhere;
}
