#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

// Three of each stream, and a few besides.
enum { MOST_OPEN = 4 * MOST_STREAMS };

// The root of the guest's first program: that of the initramfs at first, and the disk's once it was switched to.
bool enter_root(void) {
  struct stat ours, its;
  if (places.here) return chdir("/") == 0;
  int root = openat(places.proc, "1/root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return false;
  if (stat("/", &ours) == 0 && fstat(root, &its) == 0 && ours.st_dev == its.st_dev && ours.st_ino == its.st_ino)
    return chdir("/") == 0;
  return fchdir(root) == 0 && chroot(".") == 0;
}

bool enter_alone(void) {
  bool entered = enter_root();
  int error = errno;
  // Its own input's other end among them, without whose end it would wait for ever.
  for (int fd = 3; fd < MOST_OPEN; fd++) close(fd);
  errno = error;
  return entered;
}
