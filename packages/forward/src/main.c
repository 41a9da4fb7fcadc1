// Leads one port of the host to one port of a machine, as long as the machine's interface is there; depends on nobody
// else. What is carried is not looked at.
#include "forward.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS = 6 };

static int fail(const char *why) {
  dprintf(2, FORWARD_NAME ": %s\n", why);
  return 2;
}

static int serve(const struct way *way, int ready) {
  struct ends ends = {.listener = way_open(way), .watch = tap_watch(), .way = way};
  if (ends.listener < 0) return fail(strerror(errno));
  if (ends.watch < 0 || !tap_there(ends.listener, way->tap)) return fail("the machine has ended");
  if (!way_lock(way)) return fail("the port is open already");
  if (chdir("/") < 0 || write(ready, "", 1) != 1) return fail("nobody waits for it");
  close(ready);
  tcp_allow();
  // All three are nothing from here on.
  if (dup2(0, 1) < 0 || dup2(0, 2) < 0 || !confine()) return 1;
  (way->udp ? carry_udp : carry_tcp)(&ends);
  return 0;
}

int main(int count, char **words) {
  struct way way;
  int ready[2];
  if (count != 1 + WORDS || !way_read(words + 1, &way)) return fail("started by ovm only, for one port of a machine");
  prctl(PR_SET_NAME, FORWARD_NAME);
  signal(SIGPIPE, SIG_IGN);
  syscall(SYS_close_range, PROGRAM_FD, ~0U, 0);
  if (pipe(ready) < 0) return fail("no pipe could be made");
  // In the background once it is ready: the end of the first process says so.
  pid_t pid = fork();
  if (pid < 0) return fail("no process could be made");
  if (pid == 0) {
    close(ready[0]);
    return serve(&way, ready[1]);
  }
  char byte;
  close(ready[1]);
  if (read(ready[0], &byte, 1) == 1) return 0;
  waitpid(pid, NULL, 0);
  return 2;
}
