#include "keeper.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void name_of(char name[32], size_t start) {
  snprintf(name, 32, "console.%zu", start);
}

static bool open_segment(struct console *console) {
  char name[32];
  name_of(name, console->start);
  if (console->fd >= 0) return true;
  console->fd = open_to_write(name, O_APPEND);
  if (console->fd < 0) return false;
  struct stat found;
  console->size = fstat(console->fd, &found) == 0 ? (size_t)found.st_size : 0;
  times_begin(&console->times, console->start);
  return true;
}

void console_begin(struct console *console, size_t segment, size_t start) {
  size_t before = start < segment ? start : start - segment;
  *console = (struct console){.segment = segment, .start = start, .before = before, .fd = -1, .times = {.fd = -1}};
  open_segment(console);
}

// With the first byte of the next segment the one before the last goes.
static void next_segment(struct console *console) {
  char name[32];
  if (console->before < console->start) {
    name_of(name, console->before);
    unlink(name);
    times_remove(console->before);
  }
  times_end(&console->times);
  close(console->fd);
  console->before = console->start;
  console->start += console->size;
  console->size = 0;
  console->fd = -1;
}

void console_take(struct console *console, const char *bytes, size_t length) {
  while (length > 0) {
    if (console->size >= console->segment) next_segment(console);
    if (!open_segment(console)) return;
    // What lies there of before may be more than there is to be.
    if (console->size >= console->segment) continue;
    size_t room = console->segment - console->size;
    size_t wanted = length < room ? length : room;
    // Whoever finds a byte finds when it came.
    times_note(&console->times, console->start + console->size, console->size);
    size_t written = write_some(console->fd, bytes, wanted);
    console->size += written;
    if (written < wanted) return;
    bytes += written;
    length -= written;
  }
}
