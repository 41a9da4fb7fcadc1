#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

// Where the guest has no terminals yet, there are those of `places`.
static int open_master(void) {
  const int flags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
  const char *paths[] = {"1/root/dev/pts/ptmx", "1/root/dev/ptmx", "/dev/ptmx"};
  for (int i = places.here ? 2 : 0; i < (places.here ? 3 : 2); i++) {
    int fd = openat(places.proc, paths[i], flags);
    int locked = 0;
    if (fd >= 0 && ioctl(fd, TIOCSPTLCK, &locked) == 0) return fd;
    if (fd >= 0) close(fd);
  }
  int fd = openat(places.pts, "ptmx", flags), locked = 0;
  if (fd >= 0) ioctl(fd, TIOCSPTLCK, &locked);
  return fd;
}

static bool make_pipe(int *ours, int *its, bool reads) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  *ours = ends[reads ? 0 : 1];
  *its = ends[reads ? 1 : 0];
  return fcntl(*ours, F_SETFL, O_NONBLOCK) == 0;
}

static bool make_terminal(const struct request *request, struct child *child, int its[3]) {
  int master = open_master();
  if (master < 0) return false;
  struct winsize size = {.ws_row = request->rows, .ws_col = request->columns};
  ioctl(master, TIOCSWINSZ, &size);
  child->in = child->out = master;
  its[0] = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  its[1] = its[2] = its[0];
  return its[0] >= 0;
}

static bool make_pipes(const struct request *request, struct child *child, int its[3]) {
  if (!request->input) its[0] = openat(places.dev, "null", O_RDONLY | O_CLOEXEC);
  else if (!make_pipe(&child->in, &its[0], false)) return false;
  return its[0] >= 0 && make_pipe(&child->out, &its[1], true) && make_pipe(&child->err, &its[2], true);
}

static void close_all(const int *fds, int count) {
  for (int i = 0; i < count; i++)
    if (fds[i] >= 0) close(fds[i]);
}

// What it was sent since it was made is for what it is now, and does what it would do there.
static void take_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  for (int number = 1; number <= SIGRTMAX; number++) signal(number, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn static void become(const struct request *request, const int its[3]) {
  setsid();
  take_signals();
  for (int fd = 0; fd < 3; fd++)
    if (dup2(its[fd], fd) < 0) _exit(126);
  if (request->terminal) ioctl(0, TIOCSCTTY, 0);
  if (strcmp(request->kind, "shutdown") == 0) shut_down();
  if (strcmp(request->kind, "hooks") == 0) hooks_run(request);
  if (strcmp(request->kind, "freeze") == 0) freeze_hold(request);
  if (strcmp(request->kind, "read") == 0) files_read(request);
  if (strcmp(request->kind, "write") == 0) files_write(request);
  if (strcmp(request->kind, "mount") == 0) mount_share(request);
  if (strcmp(request->kind, "root") == 0) root_left();
  if (request->main) main_command(request);
  exec_command(request);
}

bool spawn(const struct request *request, struct child *child) {
  int its[3] = {-1, -1, -1};
  *child = (struct child){.pid = -1, .in = -1, .out = -1, .err = -1};
  bool made = request->terminal ? make_terminal(request, child, its) : make_pipes(request, child, its);
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  if (made) child->pid = fork();
  int error = errno;
  if (child->pid == 0) become(request, its);
  sigprocmask(SIG_SETMASK, &before, NULL);
  close_all(its, request->terminal ? 1 : 3);
  if (child->pid > 0) return true;
  close_all((int[]){child->out, child->err, child->in == child->out ? -1 : child->in}, 3);
  errno = error;
  return false;
}
