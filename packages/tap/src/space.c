#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool say(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  size_t length = strlen(text);
  if (fd < 0) return false;
  bool said = write(fd, text, length) == (ssize_t)length;
  close(fd);
  return said;
}

static bool map(const char *path, unsigned id) {
  char text[32];
  snprintf(text, sizeof text, "%u %u 1", id, id);
  return say(path, text);
}

bool space_enter(void) {
  unsigned user = geteuid(), group = getegid();
  if (unshare(CLONE_NEWNET) == 0) return true;
  if (errno != EPERM || unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) return false;
  return say("/proc/self/setgroups", "deny") && map("/proc/self/uid_map", user) && map("/proc/self/gid_map", group);
}
