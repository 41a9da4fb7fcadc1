#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

size_t write_some(int fd, const char *bytes, size_t length) {
  size_t done = 0;
  while (done < length) {
    ssize_t written = write(fd, bytes + done, length - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    done += (size_t)written;
  }
  return done;
}

// What lies there in place of a file, such as a link or a pipe, is neither followed nor waited for.
int open_to_write(const char *name, int flags) {
  int fd;
  do fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0600);
  while (fd < 0 && errno == EINTR);
  return fd;
}
