// Stands between one VMM and its passt, and lets through what the guest may send and get. Ends when either of them has,
// and depends on nobody else. Ports that are added later bring a passt of their own.
#include "filter.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct rules rules;

static int fail(const char *why) {
  dprintf(2, FILTER_NAME ": %s\n", why);
  return 2;
}

static bool request_read(void) {
  struct stat found;
  if (fstat(REQUEST_FD, &found) < 0 || found.st_size < 1) return false;
  size_t length = (size_t)found.st_size;
  char *text = mmap(NULL, length, PROT_READ, MAP_PRIVATE, REQUEST_FD, 0);
  if (text == MAP_FAILED) return false;
  bool read = text[length - 1] == '\0' && rules_read(text, &rules);
  munmap(text, length);
  return read;
}

int main(void) {
  if (fcntl(GUEST_FD, F_SETFL, O_NONBLOCK) < 0 || fcntl(OUTSIDE_FD, F_SETFL, O_NONBLOCK) < 0 || !request_read())
    return fail("started by ovm only, for one machine");
  prctl(PR_SET_NAME, FILTER_NAME);
  close(REQUEST_FD);
  close(PROGRAM_FD);
  syscall(SYS_close_range, OUTSIDE_FD + 1, ~0U, 0);
  if (!asks_open() || chdir("/") < 0) return fail("its socket cannot be made");
  signal(SIGPIPE, SIG_IGN);
  // In the background once it is ready: the end of the first process says so, as passt's does.
  pid_t pid = fork();
  if (pid < 0) return fail("no process could be made");
  if (pid > 0) {
    // Whoever started it wants to know what stays.
    dprintf(1, "%d\n", (int)pid);
    _exit(0);
  }
  // All three are nothing from here on, and no socket gets their numbers.
  if (dup2(0, 1) < 0 || dup2(0, 2) < 0) return 1;
  if (confine()) carry(&rules);
  return 1;
}
