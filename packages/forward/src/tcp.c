#include "forward.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

// Further clients wait until one of these has gone.
enum { MOST_PAIRS = 1024, BUFFER = 64 << 10, OTHERS = 16 };

// What was read of one end and not yet written to the other.
struct half {
  size_t at, end;
  bool ended; // nothing more comes
  bool shut;  // the other end knows that
  char bytes[BUFFER];
};
enum { CLIENT, GUEST, BOTH };
struct pair {
  int fd[BOTH];
  bool connecting;
  struct half half[BOTH]; // by where it comes from
};
static struct pair *pairs[MOST_PAIRS];
static size_t count;

static void pair_end(struct pair *pair, bool reset) {
  const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  for (int end = 0; end < BOTH; end++) {
    if (reset) setsockopt(pair->fd[end], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(pair->fd[end]);
  }
  free(pair);
}

static void socket_settle(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

// False if nobody waits.
static bool pair_begin(const struct ends *ends) {
  int client = accept4(ends->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (client < 0) return errno == ECONNABORTED || errno == EINTR;
  const struct place *to = &ends->way->guest;
  int guest = socket(to->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  struct pair *pair = guest < 0 ? NULL : malloc(sizeof *pair);
  if (pair == NULL) {
    close(client);
    if (guest >= 0) close(guest);
    return false;
  }
  pair->fd[CLIENT] = client;
  pair->fd[GUEST] = guest;
  pair->connecting = true;
  for (int end = 0; end < BOTH; end++) {
    struct half *half = &pair->half[end];
    half->at = half->end = 0;
    half->ended = half->shut = false;
    socket_settle(pair->fd[end]);
  }
  if (connect(guest, (const struct sockaddr *)&to->address, to->size) == 0 || errno == EINPROGRESS) pairs[count++] = pair;
  else pair_end(pair, true);
  return true;
}

static short awaited(const struct pair *pair, int end) {
  const struct half *in = &pair->half[end], *out = &pair->half[1 - end];
  if (pair->connecting) return end == GUEST ? POLLOUT : 0;
  short events = 0;
  if (!in->ended && in->at == in->end) events |= POLLIN;
  if (out->at < out->end) events |= POLLOUT;
  return events;
}

static bool is_over(const struct pair *pair, int end) { return pair->half[end].ended && pair->half[1 - end].shut; }

// False once an end has failed.
static bool half_move(struct pair *pair, int from) {
  struct half *half = &pair->half[from];
  int to = pair->fd[1 - from];
  if (!half->ended && half->at == half->end) {
    ssize_t got = recv(pair->fd[from], half->bytes, BUFFER, 0);
    if (got < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (got == 0) half->ended = true;
    if (got > 0) {
      half->at = 0;
      half->end = (size_t)got;
    }
  }
  if (half->at < half->end) {
    ssize_t put = send(to, half->bytes + half->at, half->end - half->at, MSG_NOSIGNAL);
    if (put < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (put > 0) half->at += (size_t)put;
  }
  if (half->ended && !half->shut && half->at == half->end) {
    if (shutdown(to, SHUT_WR) < 0) return false;
    half->shut = true;
  }
  return true;
}

static bool is_connected(struct pair *pair) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(pair->fd[GUEST], SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0) return false;
  pair->connecting = false;
  return true;
}

// What came of waiting for its two ends. False once it is over.
static bool pair_go(struct pair *pair, const struct pollfd polls[BOTH]) {
  bool good = true;
  for (int end = 0; good && end < BOTH; end++) {
    if (polls[end].fd < 0 || polls[end].revents == 0) continue;
    bool dead = (polls[end].revents & POLLERR) || (polls[end].events == 0 && (polls[end].revents & POLLHUP));
    good = !dead && (!pair->connecting || end != GUEST || is_connected(pair));
  }
  if (good && !pair->connecting) good = half_move(pair, CLIENT) && half_move(pair, GUEST);
  bool over = good && pair->half[CLIENT].shut && pair->half[GUEST].shut;
  if (!good || over) pair_end(pair, !good);
  return good && !over;
}

void tcp_allow(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  rlim_t wanted = BOTH * MOST_PAIRS + OTHERS;
  limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void carry_tcp(const struct ends *ends) {
  static struct pollfd polls[2 + BOTH * MOST_PAIRS];
  for (;;) {
    ends_wait(ends, polls);
    if (count == MOST_PAIRS) polls[0].fd = -1;
    for (size_t at = 0; at < count; at++)
      for (int end = 0; end < BOTH; end++) {
        int fd = is_over(pairs[at], end) ? -1 : pairs[at]->fd[end];
        polls[2 + BOTH * at + (size_t)end] = (struct pollfd){.fd = fd, .events = awaited(pairs[at], end)};
      }
    if (poll(polls, 2 + BOTH * count, -1) < 0) continue;
    if (!ends_live(ends, polls)) return;
    size_t left = 0;
    for (size_t at = 0; at < count; at++)
      if (pair_go(pairs[at], polls + 2 + BOTH * at)) pairs[left++] = pairs[at];
    count = left;
    if (polls[0].fd >= 0 && polls[0].revents != 0)
      while (count < MOST_PAIRS && pair_begin(ends)) continue;
  }
}
