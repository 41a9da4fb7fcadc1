#include "keeper.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// Notes are this far apart, in ms, and no larger in all than the console that they are of, and a page.
enum { APART_MS = 100, NOTE = 16, FREE = 4096 };

static void name_of(char name[32], size_t start) {
  snprintf(name, 32, "times.%zu", start);
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void times_begin(struct times *times, size_t start) {
  char name[32];
  name_of(name, start);
  *times = (struct times){.fd = open_to_write(name, O_APPEND)};
  struct stat found;
  if (times->fd < 0 || fstat(times->fd, &found) < 0) return;
  times->length = (size_t)found.st_size / NOTE * NOTE;
  // Half of one would shift all that follow.
  if (times->length < (size_t)found.st_size && ftruncate(times->fd, (off_t)times->length) < 0) times_end(times);
}

void times_end(struct times *times) {
  if (times->fd >= 0) close(times->fd);
  times->fd = -1;
}

void times_remove(size_t start) {
  char name[32];
  name_of(name, start);
  unlink(name);
}

void times_note(struct times *times, size_t at, size_t size) {
  if (times->fd < 0 || times->length > FREE + size) return;
  int64_t now = now_ms();
  // A clock that was set back is a change as well.
  if (times->length > 0 && now >= times->last && now - times->last < APART_MS) return;
  uint64_t note[2] = {at, (uint64_t)now};
  if (write_some(times->fd, (const char *)note, NOTE) < NOTE) {
    // Half of one would shift all that follow.
    if (ftruncate(times->fd, (off_t)times->length) < 0) times_end(times);
    return;
  }
  times->length += NOTE;
  times->last = now;
}
