#include "keeper.h"

#include <stdio.h>
#include <unistd.h>

#define UNFINISHED "exit.tmp"

// On a full disk the status could not be written any more, but over.
int status_reserve(void) {
  int fd = open_to_write(UNFINISHED, 0);
  if (fd >= 0) write_some(fd, "   \n", 4);
  return fd;
}

void status_leave(int fd, int status) {
  char text[16];
  int length = snprintf(text, sizeof text, "%-3d\n", status & 0xff);
  if (fd < 0) fd = open_to_write(UNFINISHED, 0);
  if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0) return;
  if (write_some(fd, text, (size_t)length) == (size_t)length) rename(UNFINISHED, "exit");
}
