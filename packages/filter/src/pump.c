#include "filter.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool over(ssize_t moved) {
  return moved == 0 || (moved < 0 && errno != EAGAIN && errno != EINTR);
}

static size_t length_at(const uint8_t *at) {
  return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

static void make_room(struct pump *pump) {
  if (pump->begin == 0) return;
  memmove(pump->bytes, pump->bytes + pump->begin, pump->end - pump->begin);
  pump->ready -= pump->begin;
  pump->end -= pump->begin;
  pump->begin = 0;
}

void pump_add(struct pump *pump, const uint8_t *frames, size_t size) {
  if (sizeof pump->bytes - pump->end < size) make_room(pump);
  if (sizeof pump->bytes - pump->end < size) return;
  uint8_t *at = pump->bytes + pump->ready;
  memmove(at + size, at, pump->end - pump->ready);
  memcpy(at, frames, size);
  pump->ready += size;
  pump->end += size;
}

void pump_add_answer(struct pump *pump, const uint8_t *answer, size_t length) {
  uint8_t frame[LENGTH + MOST_ANSWER] = {[LENGTH - 1] = (uint8_t)length};
  memcpy(frame + LENGTH, answer, length);
  pump_add(pump, frame, LENGTH + length);
}

static bool waits(const struct pump *pump) {
  return pump != NULL && pump->begin < pump->ready;
}

// Moves the frames that pass together, and behind them what is not judged yet.
bool pump_judge(struct pump *pump, const struct judge *judge) {
  size_t at = pump->ready, end = pump->end, to = at;
  while (end - at >= LENGTH && !waits(judge->before)) {
    size_t length = length_at(pump->bytes + at);
    if (length > MOST_FRAME) return false;
    size_t whole = LENGTH + length;
    if (end - at < whole) break;
    if (judge->passes(judge->outside, pump->bytes + at + LENGTH, length, judge->now)) {
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

bool pump_fill(struct pump *pump, int from, const struct judge *judge) {
  make_room(pump);
  ssize_t got = read(from, pump->bytes + pump->end, sizeof pump->bytes - pump->end);
  if (got <= 0) return !over(got);
  pump->end += (size_t)got;
  return pump_judge(pump, judge);
}

// As many whole frames as a socket takes at once or not at all, however full it is (unix_stream_sendmsg() of Linux makes
// one buffer of up to 36 KiB), or one that is larger, of which it may take a first part. passt of Debian 12 would lose its
// way for ever after a length that comes in two parts, or a frame in three.
static size_t piece(const struct pump *pump) {
  enum { PIECE = 32 << 10 };
  size_t size = 0;
  do size += LENGTH + length_at(pump->bytes + pump->begin + size);
  while (pump->begin + size < pump->ready && size + LENGTH + length_at(pump->bytes + pump->begin + size) <= PIECE);
  return size;
}

bool pump_drain(struct pump *pump, int to) {
  while (pump->begin < pump->ready) {
    size_t size = pump->rest > 0 ? pump->rest : piece(pump);
    ssize_t written = write(to, pump->bytes + pump->begin, size);
    if (written <= 0) return !over(written);
    pump->begin += (size_t)written;
    pump->rest = size - (size_t)written;
  }
  return true;
}

void pump_give(struct pump *from, struct pump *to) {
  size_t room = sizeof to->bytes - (to->end - to->begin), size = 0;
  while (from->begin + size < from->ready) {
    size_t whole = LENGTH + length_at(from->bytes + from->begin + size);
    if (size + whole > room) break;
    size += whole;
  }
  pump_add(to, from->bytes + from->begin, size);
  from->begin += size;
}
