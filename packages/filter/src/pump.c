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

// Whole frames, behind those that are judged. For want of room they are lost, as frames may be.
static void add(struct pump *pump, const uint8_t *frames, size_t size) {
  if (sizeof pump->bytes - pump->end < size) return;
  uint8_t *at = pump->bytes + pump->ready;
  memmove(at + size, at, pump->end - pump->ready);
  memcpy(at, frames, size);
  pump->ready += size;
  pump->end += size;
}

static void end_handshake(struct pump *ends, const struct packet *packet) {
  uint8_t frame[LENGTH + MOST_ANSWER] = {0};
  size_t length = handshake_end(packet, frame + LENGTH);
  frame[LENGTH - 1] = (uint8_t)length;
  add(ends, frame, LENGTH + length);
}

static bool passes(const struct pump *pump, const struct rules *rules, const uint8_t *frame, size_t length, uint32_t now) {
  struct packet packet;
  packet_read(frame, length, &packet);
  if (!pump->passes(rules, &packet, now)) return false;
  if (packet.accepts && pump->ends != NULL) end_handshake(pump->ends, &packet);
  return true;
}

// Moves the frames that pass together, and behind them what has not come whole. False for what no frame is.
static bool judge(struct pump *pump, const struct rules *rules, uint32_t now) {
  size_t at = pump->ready, end = pump->end, to = at;
  while (end - at >= LENGTH) {
    size_t length = length_at(pump->bytes + at);
    if (length > MOST_FRAME) return false;
    size_t whole = LENGTH + length;
    if (end - at < whole) break;
    if (passes(pump, rules, pump->bytes + at + LENGTH, length, now)) {
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

void pump_give(struct pump *from, struct pump *to) {
  add(to, from->bytes + from->begin, from->ready - from->begin);
  from->begin = from->ready = from->end = 0;
}
