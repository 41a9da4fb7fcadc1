#include "keeper.h"

#include <stdio.h>
#include <unistd.h>

#define UNFINISHED "exit.tmp"
// The longest status.
#define ROOM "        \n"

// On a full disk the status could not be written any more, but over.
int status_reserve(void) {
  int fd = open_to_write(UNFINISHED, 0);
  if (fd >= 0) write_some(fd, ROOM, sizeof ROOM - 1);
  return fd;
}

// A VMM's own status that looks like a signal's is told apart: it may be the word of its guest.
void status_leave(int fd, int status, bool exited) {
  char text[16];
  int length = snprintf(text, sizeof text, exited && status > 128 ? "%d exit\n" : "%-3d\n", status & 0xff);
  if (fd < 0) fd = open_to_write(UNFINISHED, 0);
  if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0) return;
  if (write_some(fd, text, (size_t)length) != (size_t)length || ftruncate(fd, length) < 0) return;
  rename(UNFINISHED, "exit");
}
