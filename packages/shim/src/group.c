#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// One of several lines, each a path.
static bool join_one(const char *group, int length_of_path) {
  char members[4096];
  int length = snprintf(members, sizeof members, "%.*s/cgroup.procs", length_of_path, group);
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

bool groups_join(const char *groups) {
  for (const char *at = groups; *at != '\0';) {
    size_t length = strcspn(at, "\n");
    if (!join_one(at, (int)length)) return false;
    at += length + (at[length] == '\n');
  }
  return true;
}

void groups_remove(const char *groups) {
  for (const char *at = groups; *at != '\0';) {
    char group[4096];
    size_t length = strcspn(at, "\n");
    if (snprintf(group, sizeof group, "%.*s", (int)length, at) < (int)sizeof group) rmdir(group);
    at += length + (at[length] == '\n');
  }
}
