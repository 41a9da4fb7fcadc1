#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

// Field 22 of proc(5)'s stat counts from behind the command's name, which is field 2 and may hold anything.
static const char *start_time(char *stat) {
  char *at = strrchr(stat, ')');
  for (int field = 2; at != NULL && field < 22; field++) {
    at = strchr(at, ' ');
    if (at != NULL) at++;
  }
  if (at == NULL) return NULL;
  at[strspn(at, "0123456789")] = '\0';
  return at;
}

// By the very process that becomes the VMM. One that cannot write it runs all the same: whoever started it sees to it.
static void leave_pid(const char *namespace) {
  char stat[1024], note[128];
  int from = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  if (from < 0) return;
  ssize_t length = read(from, stat, sizeof stat - 1);
  close(from);
  if (length <= 0) return;
  stat[length] = '\0';
  const char *start = start_time(stat);
  if (start == NULL) return;
  int fd = open_to_write("pid", O_TRUNC);
  if (fd < 0) return;
  int size = snprintf(note, sizeof note, "%.*s %s %s\n", (int)strspn(stat, "0123456789"), stat, start, namespace);
  if (size > 0 && (size_t)size < sizeof note) write_some(fd, note, (size_t)size);
  close(fd);
}

// What this process ignores and holds back is its own affair.
static void clear_signals(void) {
  sigset_t none;
  for (int signal_number = 1; signal_number < NSIG; signal_number++) signal(signal_number, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

// Files that a VMM may have open: several times what it needs, and what a session has by itself.
enum { MOST_FILES = 1024 };

// What it is in memory is its guest's, and belongs into no file of the host's.
static void limit_resources(void) {
  struct rlimit core = {0, 0}, files;
  setrlimit(RLIMIT_CORE, &core);
  if (getrlimit(RLIMIT_NOFILE, &files) < 0) return;
  if (files.rlim_cur > MOST_FILES) files.rlim_cur = MOST_FILES;
  files.rlim_max = files.rlim_cur;
  setrlimit(RLIMIT_NOFILE, &files);
}

// As a shell does: 127 for a program that is not there, 126 for one that cannot be started.
static _Noreturn void become(const struct request *request, const int ends[3]) {
  for (int fd = 0; fd < 3; fd++)
    if (dup2(ends[fd], fd) < 0) _exit(126);
  // Without its bound it does not run.
  if (!groups_join(request->groups)) {
    dprintf(2, KEEPER_NAME ": %s: %s\n", request->groups, strerror(errno));
    _exit(126);
  }
  limit_resources();
  leave_pid(request->namespace);
  clear_signals();
  execvp(request->argv[0], request->argv);
  int why = errno;
  dprintf(2, KEEPER_NAME ": %s: %s\n", request->argv[0], strerror(why));
  _exit(why == ENOENT ? 127 : 126);
}

static void close_both(int ends[2]) {
  if (ends[0] >= 0) close(ends[0]);
  if (ends[1] >= 0) close(ends[1]);
}

pid_t vmm_start(const struct request *request, struct pipes *pipes) {
  int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1};
  pid_t pid = -1;
  if (pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0) pid = fork();
  if (pid == 0) become(request, (int[]){in[0], out[1], err[1]});
  if (pid < 0) {
    int why = errno;
    close_both(in);
    close_both(out);
    close_both(err);
    errno = why;
    return -1;
  }
  close(in[0]);
  close(out[1]);
  close(err[1]);
  fcntl(in[1], F_SETFL, O_NONBLOCK);
  fcntl(out[0], F_SETFL, O_NONBLOCK);
  fcntl(err[0], F_SETFL, O_NONBLOCK);
  *pipes = (struct pipes){.in = in[1], .out = out[0], .err = err[0]};
  return pid;
}

int vmm_status(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
