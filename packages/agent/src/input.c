#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

static const uint8_t MAGIC[8] = "OVMAGNT1";
enum { HELLO_LENGTH = sizeof MAGIC + NONCE };

static uint8_t buffer[HEADER + MOST_PAYLOAD + MOST_PAYLOAD];
static size_t from, to;
static bool lost = true;

bool input_read(int fd) {
  memmove(buffer, buffer + from, to - from);
  to -= from;
  from = 0;
  for (;;) {
    ssize_t count = read(fd, buffer + to, sizeof buffer - to);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN;
    to += (size_t)count;
    // A port whose host has gone reads as one that has ended.
    return count > 0;
  }
}

void input_lost(void) { lost = true; }

static bool is_whole(const uint8_t *header, size_t length) {
  uint32_t crc = crc32(crc32(0, header, 12), header + HEADER, length);
  return crc == get32(header + 12);
}

// A header that is one of a HELLO, as far as it can be told before its payload is there.
static bool is_hello(const uint8_t *header) {
  return get32(header) == HELLO && get32(header + 4) == 0 && get32(header + 8) == HELLO_LENGTH;
}

bool input_next(struct frame *frame) {
  for (;; from++) {
    // Zeros between frames: what was half a frame of an earlier host is filled up by them.
    while (from < to && buffer[from] == PADDING) from++;
    if (to - from < HEADER) return false;
    const uint8_t *header = buffer + from;
    uint32_t length = get32(header + 8);
    bool hello = is_hello(header);
    if (!hello && (get32(header) > 255 || length > MOST_PAYLOAD)) lost = true;
    if (!hello && lost) continue;
    if (to - from < HEADER + (size_t)length) return false;
    if (!is_whole(header, length)) lost = true;
    else if (hello && memcmp(header + HEADER, MAGIC, sizeof MAGIC) != 0) lost = true;
    else {
      if (hello) lost = false;
      size_t skipped = hello ? sizeof MAGIC : 0;
      *frame = (struct frame){header[0], get32(header + 4), length - (uint32_t)skipped, header + HEADER + skipped};
      from += HEADER + length;
      return true;
    }
  }
}
