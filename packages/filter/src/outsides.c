#include "filter.h"

#include <unistd.h>

static struct outside all[OUTSIDES];
// Apart from what is large: they are looked at again and again.
static int sockets[OUTSIDES] = {OUTSIDE_FD}, last = FIRST;

struct outside *outside_at(int outside) {
  return &all[outside];
}

int outside_socket(int outside) {
  return outside == FIRST || (outside <= last && sockets[outside] > 0) ? sockets[outside] : -1;
}

int outsides_last(void) {
  return last;
}

static void announce(int outside, const uint8_t mac[MAC_SIZE], const struct address *guest) {
  uint8_t answer[MOST_ANSWER];
  if (!address_empty(guest)) pump_add_answer(&all[outside].leaving, answer, answer_announced(mac, guest, answer));
}

void outsides_announce(const uint8_t mac[MAC_SIZE], const struct address *guest) {
  for (int outside = FIRST + 1; outside <= last; outside++)
    if (outside_socket(outside) >= 0) announce(outside, mac, guest);
}

static void empty(struct pump *pump) {
  pump->begin = pump->ready = pump->end = 0;
}

bool outside_add(const struct port *port, int socket, const uint8_t mac[MAC_SIZE]) {
  int outside = ports_add(port);
  if (outside == DROPPED) return false;
  empty(&all[outside].leaving);
  empty(&all[outside].entering);
  all[outside].owed = false;
  sockets[outside] = socket;
  if (outside > last) last = outside;
  for (int at = 0; at < GUEST_ADDRESSES; at++) announce(outside, mac, &addresses_all()[at]);
  return true;
}

void outside_remove(int outside) {
  close(sockets[outside]);
  sockets[outside] = -1;
  while (last > FIRST && sockets[last] <= 0) last--;
  ports_remove(outside);
  flows_leave(outside);
  asks_changed();
}
