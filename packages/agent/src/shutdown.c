#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

// What a guest's first program is told to power off by: busybox's init, that of System V, and systemd.
#define TELLS (1ull << (12 - 1) | 1ull << (30 - 1) | 1ull << (38 - 1))

// Of a process in its flags, as Linux has them in /proc/PID/stat (include/linux/sched.h).
#define PF_KTHREAD 0x00200000u

// Whoever is at work after a second has four more.
enum { LOOK_NS = 50000000, MOST_LOOKS = 80 };

static uint64_t mask_of(const char *status, const char *name) {
  const char *line = strstr(status, name);
  return line ? strtoull(line + strlen(name), NULL, 16) : 0;
}

// What a file in proc says; empty if it says nothing.
static void read_of(const char *name, char *text, size_t size) {
  int fd = openat(places.proc, name, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);
  if (fd >= 0) close(fd);
  text[length > 0 ? length : 0] = 0;
}

// What it waits for by sigtimedwait(2), as busybox's init does: meanwhile the kernel says of none of it that it is
// blocked.
static uint64_t waited_for(void) {
  char text[256], *rest;
  uint64_t set = 0;
  read_of("1/syscall", text, sizeof text);
  if (strtoul(text, &rest, 10) != SYS_rt_sigtimedwait || rest == text) return 0;
  int fd = openat(places.proc, "1/mem", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  if (pread(fd, &set, sizeof set, (off_t)strtoull(rest, NULL, 16)) != sizeof set) set = 0;
  close(fd);
  return set;
}

// Whether the first program listens to any of that: a shell, or a server in its place, does not. It may be looked at
// just when it begins to wait, or ends.
static bool is_init(void) {
  char status[4096];
  for (int look = 0; look < 5; look++) {
    read_of("1/status", status, sizeof status);
    uint64_t heard = mask_of(status, "SigBlk:") | mask_of(status, "SigCgt:") | waited_for();
    if (heard & TELLS) return true;
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  }
  return false;
}

// Whether a process is at work, or waits for a disk or a share: it may just be doing what it was told.
static bool is_at_work(void) {
  DIR *all = fdopendir(openat(places.proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  bool found = false;
  for (struct dirent *entry; !found && all && (entry = readdir(all));) {
    char name[64], stat[512], state;
    unsigned flags;
    long number = strtol(entry->d_name, NULL, 10);
    if (number <= 1 || number == getpid()) continue;
    snprintf(name, sizeof name, "%ld/stat", number);
    read_of(name, stat, sizeof stat);
    const char *behind = strrchr(stat, ')');
    if (behind && sscanf(behind, ") %c %*d %*d %*d %*d %*d %u", &state, &flags) == 2)
      found = (state == 'R' || state == 'D') && !(flags & PF_KTHREAD);
  }
  if (all) closedir(all);
  return found;
}

void shut_down(void) {
  char *const words[] = {"poweroff", NULL};
  if (is_init()) {
    if (!enter_alone()) _exit(126);
    setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
    // Where there is no such program, what follows has to do as well.
    execvp(words[0], words);
  }
  kill(-1, SIGTERM);
  nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
  for (int looks = 0; looks < MOST_LOOKS && is_at_work(); looks++)
    nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
  kill(-1, SIGKILL);
  sync();
  reboot(RB_POWER_OFF);
  _exit(1);
}
