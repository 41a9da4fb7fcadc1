#include "filter.h"

#include <string.h>

static struct address used[GUEST_ADDRESSES];

struct address *addresses_all(void) {
  return used;
}

bool address_empty(const struct address *address) {
  static const struct address NONE;
  return memcmp(address, &NONE, sizeof NONE) == 0;
}

bool address_v4(const struct address *address) {
  static const uint8_t MAPPED[12] = {[10] = 0xff, [11] = 0xff};
  return memcmp(address->bytes, MAPPED, sizeof MAPPED) == 0;
}

static bool is_link_local(const struct address *address) {
  return address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

static bool is_any(const struct packet *packet, const struct address *address) {
  static const uint8_t ANY4[4];
  return packet->v6 ? address_empty(address) : memcmp(address->bytes + 12, ANY4, sizeof ANY4) == 0;
}

const struct address *addresses_note(const struct packet *leaving) {
  const struct address *from = &leaving->source.address;
  if (leaving->kind == OTHER || leaving->kind == ARP || is_any(leaving, from)) return NULL;
  // What is mapped into IPv6 is none of the guest's.
  if (leaving->v6 && address_v4(from)) return NULL;
  struct address *to = &used[!leaving->v6 ? 0 : is_link_local(from) ? 1 : 2];
  if (memcmp(to, from, sizeof *to) == 0) return NULL;
  *to = *from;
  return to;
}
