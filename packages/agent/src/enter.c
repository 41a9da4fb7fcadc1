#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

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
