#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

// Of a process in its flags, as Linux has them in /proc/PID/stat (include/linux/sched.h).
#define PF_KTHREAD 0x00200000u

// Whoever is at work after a second has four more.
enum { LOOK_NS = 50000000, MOST_LOOKS = 80 };

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
    read_proc(name, stat, sizeof stat);
    const char *behind = strrchr(stat, ')');
    if (behind && sscanf(behind, ") %c %*d %*d %*d %*d %*d %u", &state, &flags) == 2)
      found = (state == 'R' || state == 'D') && !(flags & PF_KTHREAD);
  }
  if (all) closedir(all);
  return found;
}

void shut_down(void) {
  const bool off = can_power_off();
  char *const words[] = {off ? "poweroff" : "reboot", NULL};
  if (first_is_init()) {
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
  reboot(off ? RB_POWER_OFF : RB_AUTOBOOT);
  _exit(1);
}
