// Becomes a VMM in a network of its own, with one interface in it, and leaves a process beside it that carries what
// passes that interface to the filter of the machine's network, and back. It ends with the VMM, or with the link.
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS = 2 };

static int fail(const char *why) {
  dprintf(2, TAP_NAME ": %s: %s\n", why, strerror(errno));
  return 2;
}

// What it was started as is the VMM's.
static void rename_words(char **words) {
  for (; *words != NULL; words++) memset(*words, 0, strlen(*words));
  prctl(PR_SET_NAME, TAP_NAME);
}

// All three are nothing from here on.
static int serve(const struct beside *beside, int ready) {
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (chdir("/") < 0 || dup2(nothing, 0) < 0 || dup2(0, 1) < 0 || dup2(0, 2) < 0) return 2;
  if (fcntl(LINK_FD, F_SETFL, O_NONBLOCK) < 0 || !confine() || write(ready, "", 1) != 1) return 2;
  close(ready);
  carry(*beside);
  return 0;
}

// What is the VMM's alone, before there are others by these numbers.
static void close_given(void) {
  for (int fd = HELD_FD; fd <= PROGRAM_FD; fd++)
    if (fd != LINK_FD) close(fd);
}

// Nobody waits for it: its parent has ended once it is ready.
static int leave_beside(char **words, bool up) {
  int ready[2];
  close_given();
  const struct beside beside = {
      .device = device_open(), .vmm = (int)syscall(SYS_pidfd_open, getppid(), 0), .plug = up ? -1 : plug_make()};
  if (beside.vmm < 0) return fail("the VMM cannot be waited for");
  if (beside.device < 0) return fail("what passes its interface cannot be had");
  if (!up && beside.plug < 0) return fail("its plug cannot be made");
  if (pipe2(ready, O_CLOEXEC) < 0) return fail("no pipe could be made");
  pid_t pid = fork();
  if (pid == 0) {
    close(ready[0]);
    rename_words(words);
    _exit(serve(&beside, ready[1]));
  }
  char byte;
  close(ready[1]);
  return read(ready[0], &byte, 1) == 1 ? 0 : fail("nothing carries what passes its interface");
}

static bool carried(char **words, bool up) {
  int status = 2;
  pid_t pid = fork();
  if (pid == 0) _exit(leave_beside(words, up));
  if (pid > 0) waitpid(pid, &status, 0);
  return status == 0;
}

// `loose|up|down COMMAND…`: an interface that leads nowhere, one that is carried, and one whose link is down at first.
int main(int count, char **words) {
  errno = EINVAL;
  if (count <= WORDS) return fail("started by ovm only, for one machine");
  bool loose = strcmp(words[1], "loose") == 0, up = strcmp(words[1], "up") == 0;
  if (!loose && !up && strcmp(words[1], "down") != 0) return fail(words[1]);
  if (!space_enter()) return fail("the host lets this user make no network of its own");
  if (!device_make()) return fail("the host makes no interface (/dev/net/tun)");
  if (!loose && !carried(words, up)) return 2;
  close(LINK_FD);
  close(PROGRAM_FD);
  execvp(words[WORDS], words + WORDS);
  int why = errno;
  fail(words[WORDS]);
  return why == ENOENT ? 127 : 126;
}
