#include "filter.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

static struct rules *rules;
// Ends of handshakes wait until passt has read what they answer.
static struct pump ends;
// The address of the guest's that the first passt is to hear of; NULL for none.
static const struct address *settled;

static const struct timespec LOOK = {.tv_nsec = 100000}, AT_ONCE = {0};
// How long the passt of an added port is waited for: one that stands still keeps nobody else waiting.
enum { PATIENCE_MS = 100 };
static const uint8_t EVERYBODY[MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static uint64_t milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint32_t seconds(void) {
  return (uint32_t)(milliseconds() / 1000) + 1;
}

static bool leaves(int from, uint8_t *frame, size_t length, uint32_t now) {
  (void)from;
  struct packet packet;
  uint8_t answer[MOST_ANSWER];
  packet_read(frame, length, &packet);
  int outside = frame_leaves(rules, &packet, now);
  if (packet.refused) pump_add_answer(&outside_at(FIRST)->entering, answer, answer_refused(&packet, answer));
  if (outside == DROPPED) return false;
  const struct address *used = addresses_note(&packet);
  if (used != NULL) outsides_announce(rules->mac, used);
  if (packet.settles && used != NULL) settled = used;
  if (packet.accepts) {
    pump_add_answer(&ends, answer, answer_accepted(&packet, answer));
    outside_at(outside)->owed = true;
  }
  if (outside == FIRST) return true;
  pump_add(&outside_at(outside)->leaving, frame - LENGTH, LENGTH + length);
  return false;
}

// passt learns a guest's MAC address from what it sends. That of an added port has seen little of it, and the first one
// nothing of a guest that has gone on from a snapshot and does not know that its network is a new one: until then a
// segment is for everybody, which a guest takes for none of its own.
static void readdress(int outside, uint8_t *frame, enum kind kind) {
  if (outside != FIRST || (kind == TCP && memcmp(frame, EVERYBODY, MAC_SIZE) == 0))
    for (size_t at = 0; at < MAC_SIZE; at++) frame[at] = rules->mac[at];
}

static bool enters(int outside, uint8_t *frame, size_t length, uint32_t now) {
  struct packet packet;
  uint8_t answer[MOST_ANSWER];
  packet_read(frame, length, &packet);
  bool passes = frame_enters(rules, &packet, outside, now);
  if (packet.refused) pump_add_answer(&outside_at(outside)->leaving, answer, answer_refused(&packet, answer));
  if (passes) readdress(outside, frame, packet.kind);
  return passes;
}

static bool has_read(int outside) {
  int unread;
  const struct pump *leaving = &outside_at(outside)->leaving;
  return leaving->begin == leaving->ready && ioctl(outside_socket(outside), SIOCOUTQ, &unread) == 0 && unread == 0;
}

static bool all_owed_have_read(void) {
  for (int outside = FIRST; outside <= outsides_last(); outside++)
    if (outside_at(outside)->owed && outside_socket(outside) >= 0 && !has_read(outside)) return false;
  return true;
}

// passt of Debian 12 goes round for ever over what follows a SYN,ACK in what it reads at once (`while ((n -= ...))` of its
// tap.c), were it the same one again. So what the guest says next goes on only when that has been read, which takes two
// looks: it may be reading just now.
static void give_ends(void) {
  static unsigned looks;
  static uint64_t since;
  if (ends.begin == ends.ready) return;
  if (since == 0) since = milliseconds();
  looks = all_owed_have_read() ? looks + 1 : 0;
  // The guest will say again that it accepts.
  bool late = has_read(FIRST) && milliseconds() - since > PATIENCE_MS;
  if (looks < 2 && !late) return;
  if (!late) pump_give(&ends, &outside_at(FIRST)->entering);
  ends.begin = ends.ready = ends.end = 0;
  for (int outside = FIRST; outside <= outsides_last(); outside++) outside_at(outside)->owed = false;
  looks = 0;
  since = 0;
}

static bool any_waits(void) {
  for (int outside = FIRST + 1; outside <= outsides_last(); outside++) {
    const struct pump *entering = &outside_at(outside)->entering;
    if (outside_socket(outside) >= 0 && entering->begin < entering->ready) return true;
  }
  return false;
}

// Frames go into the guest by one pump, one after the other; each outside comes first in its turn.
static void give_entering(void) {
  static int turn;
  int added = outsides_last() - FIRST;
  turn++;
  for (int at = 0; at < added; at++) {
    int outside = FIRST + 1 + (turn + at) % added;
    if (outside_socket(outside) >= 0) pump_give(&outside_at(outside)->entering, &outside_at(FIRST)->entering);
  }
}

// What one socket takes is read from the other only once the last of it is written: nothing piles up here.
static struct pollfd poll_of(int socket, const struct pump *from, const struct pump *to) {
  short events = (short)((from->begin == from->ready ? POLLIN : 0) | (to->begin < to->ready ? POLLOUT : 0));
  return (struct pollfd){.fd = socket, .events = events};
}

static bool fill(struct pump *pump, const struct pollfd *from, const struct judge *judge) {
  return pump->begin < pump->ready || (from->revents & (POLLIN | POLLHUP | POLLERR)) == 0 || pump_fill(pump, from->fd, judge);
}

static bool over(const struct pollfd *poll) {
  return (poll->revents & (POLLHUP | POLLERR)) != 0;
}

static struct judge leaving_at(uint32_t now) {
  return (struct judge){leaves, FIRST, now, &ends};
}

// passt knows it from whatever else the guest sends by it.
static void announce_first(void) {
  uint8_t answer[MOST_ANSWER];
  if (settled != NULL) pump_add_answer(&outside_at(FIRST)->leaving, answer, answer_announced(rules->mac, settled, answer));
  settled = NULL;
}

static bool carry_first(const struct pollfd *guest, const struct pollfd *outside, uint32_t now) {
  struct outside *first = outside_at(FIRST);
  struct judge leaving = leaving_at(now), entering = {enters, FIRST, now, NULL};
  // As many as it is asked about, the first one has had its turn.
  bool turn = first->entering.begin == first->entering.ready;
  if (!fill(&first->leaving, guest, &leaving)) return false;
  announce_first();
  if (!fill(&first->entering, outside, &entering)) return false;
  if (turn) give_entering();
  return pump_drain(&first->leaving, outside->fd) && pump_drain(&first->entering, guest->fd) && !over(guest) && !over(outside);
}

static void carry_added(int outside, const struct pollfd *poll, uint32_t now) {
  struct outside *at = outside_at(outside);
  bool lives = fill(&at->entering, poll, &(struct judge){enters, outside, now, NULL}) && pump_drain(&at->leaving, poll->fd);
  if (!lives || over(poll)) outside_remove(outside);
}

void carry(struct rules *given) {
  static struct pollfd polls[1 + OUTSIDES + 1 + MOST_ASKS];
  struct outside *first = outside_at(FIRST);
  uint32_t now = seconds();
  rules = given;
  for (;;) {
    give_ends();
    struct judge leaving = leaving_at(now);
    if (!pump_judge(&first->leaving, &leaving)) return;
    polls[0] = poll_of(GUEST_FD, &first->leaving, &first->entering);
    bool ending = ends.begin < ends.ready, waits = first->entering.begin == first->entering.ready && any_waits();
    if (ending) polls[0].events &= ~POLLIN;
    struct pollfd *outsides = polls + 1;
    int last = outsides_last();
    outsides[FIRST] = poll_of(OUTSIDE_FD, &first->entering, &first->leaving);
    for (int at = FIRST + 1; at <= last; at++)
      outsides[at] = poll_of(outside_socket(at), &outside_at(at)->entering, &outside_at(at)->leaving);
    struct pollfd *asks = outsides + last + 1;
    size_t asking = asks_wait(asks);
    const struct timespec *most = waits ? &AT_ONCE : ending ? &LOOK : NULL;
    if (ppoll(polls, (size_t)(asks - polls) + asking, most, NULL) < 0 && errno != EINTR) return;
    now = seconds();
    if (!carry_first(polls, outsides, now)) return;
    for (int at = FIRST + 1; at <= last; at++)
      if (outsides[at].fd >= 0) carry_added(at, &outsides[at], now);
    asks_look(asks, asking, rules);
  }
}
