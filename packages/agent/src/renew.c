#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent.h"

enum { MOST_NAME = 64 };

static bool fail(const char *what) {
  dprintf(2, "ovm-agent: %s: %s\n", what, strerror(errno));
  return false;
}

// In place, since something may be mounted on it; one write, so that nobody reads half of it.
static bool put(const char *path, const char *text, int flags) {
  int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0444);
  if (fd < 0) return errno == ENOENT && !(flags & O_CREAT) ? true : fail(path);
  size_t length = strlen(text);
  bool well = write(fd, text, length) == (ssize_t)length && ftruncate(fd, (off_t)length) == 0;
  if (!well) fail(path);
  close(fd);
  return well;
}

// As of machine-id(5): a random UUID in hexadecimal.
static bool renew_machine_id(void) {
  uint8_t bytes[16];
  char text[2 * sizeof bytes + 2];
  if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return fail("random bytes");
  bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
  bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
  for (size_t i = 0; i < sizeof bytes; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
  strcpy(text + 2 * sizeof bytes, "\n");
  return put("/etc/machine-id", text, O_CREAT);
}

static bool renew_hostname(const char *name) {
  char line[MOST_NAME + 2];
  size_t length = strlen(name);
  errno = EINVAL;
  if (length == 0 || length > MOST_NAME || sethostname(name, length) != 0) return fail("hostname");
  strcpy(stpcpy(line, name), "\n");
  return put("/etc/hostname", line, 0);
}

static bool renew_one(const char *word, const char *name) {
  dprintf(1, "%s\n", word);
  if (strcmp(word, "machine-id") == 0) return renew_machine_id();
  if (strcmp(word, "hostname") == 0) return renew_hostname(name);
  dprintf(2, "ovm-agent: /etc/ovm/renew: %.100s: this agent cannot renew that\n", word);
  return false;
}

bool renew(const char *name) {
  FILE *file = fopen("/etc/ovm/renew", "re");
  if (!file) return errno == ENOENT ? true : fail("/etc/ovm/renew");
  char line[256];
  bool well = true;
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "#")] = 0;
    char *rest = NULL;
    for (char *word = strtok_r(line, " \t\n", &rest); word; word = strtok_r(NULL, " \t\n", &rest))
      well = renew_one(word, name) && well;
  }
  fclose(file);
  return well;
}
