// The command that a machine is for: it belongs to no stream, and the machine ends with it.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

// By which a guest hands back a result, and ends its machine (spec/guest.md).
enum { RESULT_PORT = 0x501, MOST_RESULT = 127 };

// Nothing reads from it; what it writes is on the console, where what the guest says is kept.
static void on_console(void) {
  int input = openat(places.dev, "null", O_RDONLY | O_CLOEXEC);
  int console = openat(places.dev, "console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
  dup2(input, 0);
  for (int fd = 1; fd < 3; fd++) dup2(console < 0 ? input : console, fd);
}

static void hand_back(int status) {
  int port = openat(places.dev, "port", O_WRONLY | O_CLOEXEC);
  uint8_t result = (uint8_t)status;
  sync();
  if (port >= 0 && pwrite(port, &result, 1, RESULT_PORT) == 1) close(port);
}

// For a machine that takes a result to end by it, and for a host to hear of it before a reset, which says nothing.
static void wait_a_moment(void) { nanosleep(&(struct timespec){.tv_sec = 1}, NULL); }

void main_see_through(const struct request *request) {
  int status = 0;
  setsid();
  on_console();
  if (request->settled) wait_for_root();
  pid_t pid = fork();
  if (pid == 0) {
    setsid();
    exec_command(request);
  }
  while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  int result = pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : MOST_RESULT;
  if (result > MOST_RESULT) result = MOST_RESULT;
  outcome_is(result);
  if (result != 0) hand_back(result);
  if (result != 0 || !can_power_off()) wait_a_moment();
  // Also where no such port is.
  shut_down();
}

void main_command(const struct request *request) {
  pid_t pid = fork();
  if (pid == 0) main_see_through(request);
  _exit(pid > 0 ? 0 : 126);
}
