#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

// What a guest's first program is told to power off by: busybox's init, that of System V, and systemd.
#define TELLS (1ull << (12 - 1) | 1ull << (30 - 1) | 1ull << (38 - 1))

static uint64_t mask_of(const char *status, const char *name) {
  const char *line = strstr(status, name);
  return line ? strtoull(line + strlen(name), NULL, 16) : 0;
}

// Whether the first program listens to any of that: a shell, or a server in its place, does not.
static bool is_init(void) {
  char status[4096];
  int fd = openat(places.proc, "1/status", O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, status, sizeof status - 1);
  close(fd);
  status[length > 0 ? length : 0] = 0;
  return ((mask_of(status, "SigBlk:") | mask_of(status, "SigCgt:")) & TELLS) != 0;
}

void shut_down(void) {
  char *const words[] = {"poweroff", NULL};
  bool init = is_init();
  if (!enter_alone()) _exit(126);
  setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
  // Where there is no such program, this has to do as well.
  if (init) execvp(words[0], words);
  kill(-1, SIGTERM);
  nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
  kill(-1, SIGKILL);
  sync();
  reboot(RB_POWER_OFF);
  _exit(1);
}
