// Keeps one machine: starts its VMM, takes what that writes within bounds, and leaves its exit status on disk. Nothing
// here depends on the process that started it, nor on anything that a guest can say.
#include "keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>

// How often, and how many times, the kernel is asked to weigh the session less: it takes one such wish in a tenth of a
// second from all users without privileges.
enum { YIELD_MS = 150, YIELDS = 40 };

// Bytes that are taken at once, and times that this is done for an output after the VMM's end: more than a pipe can
// hold, and an end, should something that the VMM has left behind write on for ever.
enum { CHUNK = 64 << 10, LAST_CHUNKS = 64 };

static char chunk[CHUNK];

static void on_child(int signal_number) {
  (void)signal_number;
}

// A fault of this program's own, which going on after would only repeat.
static bool is_fault(int number) {
  return number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE || number == SIGTRAP ||
         number == SIGABRT || number == SIGSYS;
}

// Signals are for the VMM, also those that a whole group gets: this process ends when that has ended, or by SIGKILL.
static sigset_t hold_signals(void) {
  for (int number = 1; number < NSIG; number++)
    if (!is_fault(number)) signal(number, SIG_IGN);
  struct sigaction child = {.sa_handler = on_child, .sa_flags = SA_NOCLDSTOP};
  sigaction(SIGCHLD, &child, NULL);
  sigset_t held, before;
  sigemptyset(&held);
  sigaddset(&held, SIGCHLD);
  sigprocmask(SIG_BLOCK, &held, &before);
  sigdelset(&before, SIGCHLD);
  return before;
}

// True once there is nothing left to wish for.
static bool yield_session(const char *nice) {
  if (*nice == '\0') return true;
  int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return true;
  bool taken = write_some(fd, nice, strlen(nice)) > 0;
  close(fd);
  return taken;
}

static struct keeper {
  struct console console;
  struct words words;
  struct keyboard keyboard;
  struct pipes pipes;
} keeper;

enum taken { SOME, NOTHING, END };

// One chunk of an output, if there is one.
static enum taken take(int fd, struct console *console, struct words *words) {
  ssize_t length;
  do length = read(fd, chunk, sizeof chunk);
  while (length < 0 && errno == EINTR);
  if (length < 0) return errno == EAGAIN ? NOTHING : END;
  if (length == 0) return END;
  if (console != NULL) console_take(console, chunk, (size_t)length);
  else words_take(words, chunk, (size_t)length);
  return SOME;
}

static void keep(struct pollfd *output, struct console *console, struct words *words) {
  if (output->revents == 0) return;
  if (take(output->fd, console, words) == END) {
    close(output->fd);
    output->fd = -1;
  }
}

// What the VMM wrote before its end is there already.
static void keep_rest(int fd, struct console *console, struct words *words) {
  for (int times = 0; fd >= 0 && times < LAST_CHUNKS && take(fd, console, words) == SOME; times++) continue;
}

// Until the VMM has ended; its status as wait(2) has it.
static int keep_until_end(pid_t vmm, struct keeper *keeper, const char *session, sigset_t waiting) {
  enum { OUT, ERR, KEYBOARD, ALL = KEYBOARD + KEYBOARD_FDS };
  struct pollfd fds[ALL] = {[OUT] = {.fd = keeper->pipes.out, .events = POLLIN},
                            [ERR] = {.fd = keeper->pipes.err, .events = POLLIN}};
  int yields = yield_session(session) ? 0 : YIELDS;
  for (;;) {
    int status;
    if (waitpid(vmm, &status, WNOHANG) == vmm) return status;
    struct timespec pause = {.tv_nsec = YIELD_MS * 1000000L};
    keyboard_wait(&keeper->keyboard, fds + KEYBOARD);
    int ready = ppoll(fds, ALL, yields > 0 ? &pause : NULL, &waiting);
    if (yields > 0 && ready <= 0) yields = yield_session(session) ? 0 : yields - 1;
    if (ready <= 0) continue;
    keep(&fds[OUT], &keeper->console, NULL);
    keep(&fds[ERR], NULL, &keeper->words);
    keyboard_serve(&keeper->keyboard, fds + KEYBOARD);
    keeper->pipes.out = fds[OUT].fd;
    keeper->pipes.err = fds[ERR].fd;
  }
}

int main(void) {
  struct request request;
  if (fcntl(HELD_FD, F_GETFD) < 0 || !request_read(REQUEST_FD, &request)) {
    static const char WHY[] = KEEPER_NAME ": started by ovm only, for one machine\n";
    write_some(2, WHY, sizeof WHY - 1);
    return 2;
  }
  prctl(PR_SET_NAME, KEEPER_NAME);
  bool given[GIVEN_END];
  for (int fd = GIVEN_FD; fd < GIVEN_END; fd++) given[fd] = fcntl(fd, F_GETFD) >= 0;
  close(REQUEST_FD);
  close(PROGRAM_FD);
  syscall(SYS_close_range, GIVEN_END, ~0U, 0);
  setpriority(PRIO_PROCESS, 0, atoi(request.nice));
  sigset_t waiting = hold_signals();

  int room = status_reserve();
  console_begin(&keeper.console, request.segment, request.start);
  words_begin(&keeper.words, request.words);
  keyboard_begin(&keeper.keyboard);
  pid_t vmm = vmm_start(&request, &keeper.pipes);
  // The VMM's alone: who is at their other ends sees the VMM's end.
  for (int fd = GIVEN_FD; fd < GIVEN_END; fd++)
    if (given[fd]) close(fd);
  if (vmm < 0) {
    int length = snprintf(chunk, sizeof chunk, KEEPER_NAME ": %s: %s\n", request.argv[0], strerror(errno));
    words_take(&keeper.words, chunk, (size_t)length < sizeof chunk ? (size_t)length : sizeof chunk - 1);
    groups_remove(request.groups);
    status_leave(room, 126, true);
    return 1;
  }
  keeper.keyboard.input = keeper.pipes.in;
  int status = keep_until_end(vmm, &keeper, request.session, waiting);
  keep_rest(keeper.pipes.out, &keeper.console, NULL);
  keep_rest(keeper.pipes.err, NULL, &keeper.words);
  groups_remove(request.groups);
  status_leave(room, vmm_status(status), WIFEXITED(status));
  return 0;
}
