#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

enum { LOOK_MS = 50, LONGEST_LOOK_MS = 1000 };

// False if the port itself has gone, as when its driver was taken out.
static bool host_is_there(int fd) {
  struct pollfd port = {fd, POLLIN, 0};
  return poll(&port, 1, 0) >= 0 && !(port.revents & (POLLHUP | POLLERR));
}

// A port says by SIGIO that its host has come or gone. In between it is looked at all the same.
static void wait_for_host(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGIO);
  sigaddset(&set, SIGCHLD);
  sigtimedwait(&set, NULL, &(struct timespec){.tv_sec = 1});
  while (waitpid(-1, NULL, WNOHANG) > 0) continue;
}

// The port comes when its driver does. A guest whose host comes by vsock has none, and is served by that meanwhile.
static int wait_for_port(void) {
  int fd = -1, listening = -1;
  for (int wait = LOOK_MS; fd < 0; wait += wait < LONGEST_LOOK_MS ? wait / 8 : 0) {
    places_open();
    if (listening < 0) listening = vsock_listen();
    struct pollfd host = {listening, POLLIN, 0};
    int stream = (fd = port_open()) < 0 && poll(&host, 1, wait) > 0 ? vsock_accept(listening) : -1;
    if (stream >= 0) {
      session_serve(stream);
      close(stream);
    }
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  }
  if (listening >= 0) close(listening);
  return fd;
}

// A guest that is busy with its commands has an agent that answers all the same; they are as they would be without that.
static void go_before_others(void) {
  struct sched_param first = {.sched_priority = 1};
  syscall(SYS_sched_setscheduler, 0, SCHED_RR | SCHED_RESET_ON_FORK, &first);
}

// Its host may go and come back: what that says meanwhile waits in the port.
_Noreturn static void serve_port(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGIO);
  sigprocmask(SIG_BLOCK, &set, NULL);
  go_before_others();
  int fd = wait_for_port();
  fcntl(fd, F_SETOWN, getpid());
  fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK);
  for (;; wait_for_host())
    if (host_is_there(fd)) session_serve(fd);
}

// In the place of the guest's first program: the agent is its child, and outlives its change of root.
static void stand_in(char **argv) {
  char real[PATH_MAX];
  places_make();
  if (fork() == 0) {
    // What systemd of an initramfs leaves alone when it ends everything (systemd.io/ROOT_STORAGE_DAEMONS).
    argv[0][0] = '@';
    setsid();
    serve_port();
  }
  close(places.proc), close(places.sys), close(places.dev), close(places.pts);
  ssize_t length = readlink(REAL_INIT, real, sizeof real - 1);
  real[length > 0 ? length : 0] = 0;
  unlink(REAL_INIT);
  argv[0] = length > 0 ? real : "/init";
  execv(argv[0], argv);
  dprintf(2, "ovm-agent: %s: %s\n", argv[0], strerror(errno));
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (getpid() == 1) {
    if (is_container()) init_run();
    stand_in(argv);
    return 1;
  }
  if (argc > 2) {
    fprintf(stderr, "usage: ovm-agent [FD]: serves the host's port, or that descriptor until its end\n");
    return 2;
  }
  if (argc == 1) serve_port();
  places_open();
  places.here = true;
  int fd = atoi(argv[1]);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  session_serve(fd);
  return 0;
}
