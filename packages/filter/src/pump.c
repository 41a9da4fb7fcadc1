#include "filter.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { LENGTH = 4 };

static bool over(ssize_t moved) {
  return moved == 0 || (moved < 0 && errno != EAGAIN && errno != EINTR);
}

static size_t length_at(const uint8_t *at) {
  return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

// Moves the frames that pass together, and behind them what has not come whole. False for what no frame is.
static bool judge(struct pump *pump, const struct rules *rules, uint32_t now) {
  size_t at = pump->ready, end = pump->end, to = at;
  while (end - at >= LENGTH) {
    size_t length = length_at(pump->bytes + at);
    if (length > MOST_FRAME) return false;
    size_t whole = LENGTH + length;
    if (end - at < whole) break;
    if (pump->passes(rules, pump->bytes + at + LENGTH, length, now)) {
      if (to != at) memmove(pump->bytes + to, pump->bytes + at, whole);
      to += whole;
    }
    at += whole;
  }
  if (to != at) memmove(pump->bytes + to, pump->bytes + at, end - at);
  pump->ready = to;
  pump->end = to + (end - at);
  return true;
}

bool pump_fill(struct pump *pump, int from, const struct rules *rules, uint32_t now) {
  if (pump->begin > 0) {
    memmove(pump->bytes, pump->bytes + pump->begin, pump->end - pump->begin);
    pump->ready -= pump->begin;
    pump->end -= pump->begin;
    pump->begin = 0;
  }
  ssize_t got = read(from, pump->bytes + pump->end, sizeof pump->bytes - pump->end);
  if (got <= 0) return !over(got);
  pump->end += (size_t)got;
  return judge(pump, rules, now);
}

bool pump_drain(struct pump *pump, int to) {
  if (pump->begin == pump->ready) return true;
  ssize_t written = write(to, pump->bytes + pump->begin, pump->ready - pump->begin);
  if (written <= 0) return !over(written);
  pump->begin += (size_t)written;
  return true;
}
