#include "filter.h"

#include <string.h>

// How long an answer may take, in seconds: as long as passt keeps a way open for it.
enum { ANSWER_S = 180 };

// In sets of a few, in which the oldest one makes room: whoever floods a port can only keep others from being answered.
enum { SETS = 1024, WAYS = 4 };

struct flow {
  struct peer peer;
  uint16_t port; // the guest's
  uint32_t seen; // 0: there is none
};
static struct flow flows[SETS][WAYS];

static struct flow *set_of(const struct peer *peer, uint16_t port) {
  uint32_t hash = 2166136261u ^ ((uint32_t)peer->port << 16 | port);
  for (size_t at = 0; at < ADDRESS_SIZE; at++) hash = (hash ^ peer->address.bytes[at]) * 16777619u;
  return flows[(hash ^ hash >> 16) % SETS];
}

static bool same(const struct flow *flow, const struct peer *peer, uint16_t port) {
  return flow->seen != 0 && flow->port == port && flow->peer.port == peer->port &&
         memcmp(&flow->peer.address, &peer->address, sizeof peer->address) == 0;
}

void flows_note(const struct peer *peer, uint16_t port, uint32_t now) {
  struct flow *set = set_of(peer, port), *to = set;
  for (struct flow *flow = set; flow < set + WAYS; flow++) {
    if (same(flow, peer, port)) {
      flow->seen = now;
      return;
    }
    if (flow->seen < to->seen) to = flow;
  }
  *to = (struct flow){*peer, port, now};
}

bool flows_known(const struct peer *peer, uint16_t port, uint32_t now) {
  struct flow *set = set_of(peer, port);
  for (struct flow *flow = set; flow < set + WAYS; flow++)
    if (same(flow, peer, port)) return now - flow->seen <= ANSWER_S;
  return false;
}
