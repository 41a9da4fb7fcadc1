// What is written to the guest's disks stands still for a while: in a child, so that it goes on whatever becomes of the
// agent. It is never killed: its input ends, or its time.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

// Of linux/fs.h.
#define FREEZE (int)_IOWR('X', 119, int)
#define THAW (int)_IOWR('X', 120, int)

enum { MOST_MOUNTS = 256, MOST_TABLE = 1 << 18, TOO_LATE = 2 };

static char table[MOST_TABLE];
static int frozen[MOST_MOUNTS];
static int count;
static volatile sig_atomic_t ended;

static void on_signal(int number) { ended = number; }

// Before the root is another one, which may have no proc.
static bool read_table(void) {
  int fd = openat(places.proc, "1/mountinfo", O_RDONLY | O_CLOEXEC);
  size_t length = 0;
  for (ssize_t more; fd >= 0 && (more = read(fd, table + length, sizeof table - 1 - length)) > 0;)
    length += (size_t)more;
  close(fd);
  return length > 0 && length < sizeof table - 1;
}

// Blanks and the like are written as \ooo.
static void unescape(char *path) {
  char *to = path;
  for (char *from = path; *from; to++) {
    char digits[4] = {0};
    if (*from == '\\' && strlen(from) >= 4) {
      memcpy(digits, from + 1, 3);
      *to = (char)strtol(digits, NULL, 8);
      from += 4;
    } else *to = *from++;
  }
  *to = 0;
}

static void thaw(void) {
  while (count > 0) {
    ioctl(frozen[--count], THAW, 0);
    close(frozen[count]);
  }
}

// False if it is to be frozen and cannot be. What is not on a device, is mounted over, or cannot be frozen, is none.
static bool freeze(char *line) {
  unsigned major, minor;
  char path[4096];
  struct stat found;
  const char *rest = strstr(line, " - ");
  if (sscanf(line, "%*u %*u %u:%u %*s %4095s", &major, &minor, path) != 3) return true;
  if (!rest || sscanf(rest, " - %*s %c", &(char){0}) != 1) return true;
  const char *source = strchr(rest + 3, ' ');
  if (!source || strncmp(source, " /dev/", 6) != 0) return true;
  unescape(path);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &found) != 0 || found.st_dev != makedev(major, minor) || count == MOST_MOUNTS) {
    close(fd);
    return count < MOST_MOUNTS;
  }
  for (int i = 0; i < count; i++) {
    struct stat other;
    // Mounted twice.
    if (fstat(frozen[i], &other) == 0 && other.st_dev == found.st_dev) return close(fd) == 0;
  }
  if (ioctl(fd, FREEZE, 0) == 0) {
    frozen[count++] = fd;
    return true;
  }
  bool can = errno != EOPNOTSUPP && errno != ENOTTY && errno != EINVAL;
  if (can) dprintf(2, "ovm-agent: %s: %s\n", path, errno == EBUSY ? "it is frozen already" : strerror(errno));
  close(fd);
  return !can;
}

// The last that was mounted first: it may lie in a file of another one.
static bool freeze_all(void) {
  for (char *end = table + strlen(table); end > table;) {
    *end = 0;
    char *line = strrchr(table, '\n');
    if (!freeze(line ? line + 1 : table)) return false;
    end = line ? line : table;
  }
  return true;
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

// False if that takes longer, or the guest ends all that runs.
static bool input_ends(int64_t by) {
  struct pollfd input = {0, POLLIN, 0};
  for (int64_t left; !ended && (left = by - now()) > 0;) {
    char ignored[256];
    if (poll(&input, 1, (int)left) > 0 && read(0, ignored, sizeof ignored) <= 0) return true;
  }
  return false;
}

void freeze_hold(const struct request *request) {
  int64_t by = now() + (int64_t)request->seconds * 1000;
  // Nobody may be there any more who reads what it says.
  signal(SIGPIPE, SIG_IGN);
  sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
  bool known = read_table();
  if (!enter_alone() || !known) {
    dprintf(2, "ovm-agent: what is mounted cannot be read\n");
    _exit(1);
  }
  if (!freeze_all()) {
    thaw();
    _exit(1);
  }
  dprintf(1, "frozen %d\n", count);
  bool asked = input_ends(by);
  thaw();
  _exit(asked ? 0 : TOO_LATE);
}
