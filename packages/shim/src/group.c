#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

bool group_join(const char *group) {
  char members[4096];
  int length = snprintf(members, sizeof members, "%s/cgroup.procs", group);
  if (length < 0 || (size_t)length >= sizeof members) {
    errno = ENAMETOOLONG;
    return false;
  }
  int fd = open(members, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  // Whoever writes it, with all its threads.
  bool joined = write(fd, "0", 1) == 1;
  int why = errno;
  close(fd);
  errno = why;
  return joined;
}

void group_remove(const char *group) {
  if (*group != '\0') rmdir(group);
}
