#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

static uint8_t buffer[4 * MOST_PAYLOAD];
static size_t from, to; // what of it is to be written

// What was written makes room again.
static void close_up(void) {
  if (from == 0) return;
  memmove(buffer, buffer + from, to - from);
  to -= from;
  from = 0;
}

size_t output_room(void) {
  close_up();
  size_t room = sizeof buffer - to;
  return room > HEADER ? room - HEADER : 0;
}

uint8_t *output_begin(void) {
  close_up();
  return buffer + to + HEADER;
}

void output_frame(enum type type, uint32_t stream, size_t length) {
  uint8_t *header = buffer + to;
  put32(header, type);
  put32(header + 4, stream);
  put32(header + 8, (uint32_t)length);
  put32(header + 12, crc32(crc32(0, header, 12), header + HEADER, length));
  to += HEADER + length;
}

bool output_waits(void) { return from < to; }

bool output_write(int fd) {
  while (from < to) {
    ssize_t written = write(fd, buffer + from, to - from);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno == EAGAIN;
    from += (size_t)written;
  }
  from = to = 0;
  return true;
}

void output_forget(void) { from = to = 0; }
