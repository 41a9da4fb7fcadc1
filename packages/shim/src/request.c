#include "keeper.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

// Texts, each with its NUL: segment, start, words, namespace, session, nice, groups, then the VMM's argv.
enum { SEGMENT, START, WORDS, NAMESPACE, SESSION, NICE, GROUPS, ARGV };

// Where they begin.
static char **all;

static bool number(const char *text, size_t *value) {
  char *end;
  if (*text < '0' || *text > '9') return false;
  errno = 0;
  unsigned long long parsed = strtoull(text, &end, 10);
  *value = (size_t)parsed;
  return errno == 0 && *end == '\0' && parsed <= PTRDIFF_MAX / 4;
}

bool request_read(int fd, struct request *request) {
  struct stat found;
  if (fstat(fd, &found) < 0 || found.st_size < 1) return false;
  size_t length = (size_t)found.st_size;
  char *texts = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
  if (texts == MAP_FAILED || texts[length - 1] != '\0') return false;
  size_t count = 0;
  for (size_t at = 0; at < length; at++)
    if (texts[at] == '\0') count++;
  if (count <= ARGV) return false;
  all = calloc(count + 1, sizeof *all);
  if (all == NULL) return false;
  for (size_t index = 0, at = 0; index < count; index++, at += strlen(texts + at) + 1) all[index] = texts + at;
  request->namespace = all[NAMESPACE];
  request->session = all[SESSION];
  request->nice = all[NICE];
  request->groups = all[GROUPS];
  request->argv = all + ARGV;
  return number(all[SEGMENT], &request->segment) && number(all[START], &request->start) &&
         number(all[WORDS], &request->words) && request->segment > 0;
}
