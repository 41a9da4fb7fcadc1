#include "tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool later(void) {
  return errno == EAGAIN || errno == EINTR;
}

static bool flush(struct leaving *leaving) {
  while (leaving->begin < leaving->end) {
    ssize_t sent = send(LINK_FD, leaving->bytes + leaving->begin, leaving->end - leaving->begin, MSG_NOSIGNAL);
    if (sent < 0) return later();
    leaving->begin += (size_t)sent;
  }
  leaving->begin = leaving->end = 0;
  return true;
}

bool leave(struct leaving *leaving, int device, bool up) {
  while (flush(leaving)) {
    if (leaving->begin < leaving->end) return true;
    ssize_t length = frame_take(device, leaving->bytes + LENGTH);
    // ENOBUFS: some were lost.
    if (length < 0) return later() || errno == ENOBUFS;
    if (length == 0 || !up) continue;
    uint32_t said = htonl((uint32_t)length);
    memcpy(leaving->bytes, &said, LENGTH);
    leaving->end = LENGTH + (size_t)length;
  }
  return false;
}

// Gives those that are whole. False for what no frame is.
static bool give_whole(struct entering *entering, int device, bool up) {
  size_t at = 0;
  uint32_t said;
  while (entering->end - at >= LENGTH) {
    memcpy(&said, entering->bytes + at, LENGTH);
    size_t length = ntohl(said);
    if (length > MOST_FRAME) return false;
    if (entering->end - at - LENGTH < length) break;
    if (up) frame_give(device, entering->bytes + at + LENGTH, length);
    at += LENGTH + length;
  }
  memmove(entering->bytes, entering->bytes + at, entering->end - at);
  entering->end -= at;
  return true;
}

bool enter(struct entering *entering, int device, bool up) {
  ssize_t got = read(LINK_FD, entering->bytes + entering->end, sizeof entering->bytes - entering->end);
  if (got <= 0) return got < 0 && later();
  entering->end += (size_t)got;
  return give_whole(entering, device, up);
}
