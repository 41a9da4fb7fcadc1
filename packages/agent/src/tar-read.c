#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tar.h"

static bool is_zero(const uint8_t *block) {
  for (int at = 0; at < BLOCK; at++)
    if (block[at] != 0) return false;
  return true;
}

// Octal digits, none of them for 0, or GNU's binary form for what they cannot say.
static bool number(const uint8_t *field, int length, uint64_t *value) {
  *value = 0;
  if (field[0] == 0x80) {
    for (int at = 1; at < length; at++) {
      if (*value >> 55) return false;
      *value = *value << 8 | field[at];
    }
    return true;
  }
  int at = 0;
  while (at < length && field[at] == ' ') at++;
  for (; at < length && field[at] >= '0' && field[at] <= '7'; at++) *value = *value << 3 | (uint64_t)(field[at] - '0');
  return at == length || field[at] == 0 || field[at] == ' ';
}

static void text(char *to, const uint8_t *field, size_t length) {
  size_t size = strnlen((const char *)field, length);
  memcpy(to, field, size);
  to[size] = 0;
}

static const char *read_header(const uint8_t *block, struct entry *entry) {
  uint64_t mode, uid, gid, time, sum;
  uint32_t found = 8 * ' ';
  for (int at = 0; at < BLOCK; at++) found += at < 148 || at >= 156 ? block[at] : 0;
  if (!number(block + 148, 8, &sum) || sum != found) return "it is no tar archive";
  if (!number(block + 100, 8, &mode) || !number(block + 108, 8, &uid) || !number(block + 116, 8, &gid) ||
      !number(block + 124, 12, &entry->size) || !number(block + 136, 12, &time))
    return "a number in it is none";
  entry->mode = (uint32_t)(mode & 07777);
  entry->uid = (uint32_t)uid;
  entry->gid = (uint32_t)gid;
  entry->time = (int64_t)time;
  entry->type = block[156] == 0 || block[156] == '7' ? TAR_FILE : (char)block[156];
  char *name = entry->name;
  if (memcmp(block + 257, "ustar", 6) == 0 && block[345] != 0) {
    text(name, block + 345, 155);
    name += strlen(name);
    *name++ = '/';
  }
  text(name, block, 100);
  text(entry->link, block + 157, 100);
  return NULL;
}

// What a header before an entry says of it.
struct extra {
  bool name, link, size;
  uint64_t bytes;
};

static bool keep(char *to, const char *value, size_t length) {
  if (length >= MOST_PATH || memchr(value, 0, length)) return false;
  memcpy(to, value, length);
  to[length] = 0;
  return true;
}

static const char *read_records(char *at, size_t length, struct entry *entry, struct extra *extra) {
  for (char *end = at + length; at < end;) {
    char *after, *key, *value;
    errno = 0;
    unsigned long size = strtoul(at, &after, 10);
    // `at` ends with a zero byte behind `end`.
    if (errno != 0 || size == 0 || size > (size_t)(end - at) || *after != ' ' || at[size - 1] != '\n')
      return "a pax header in it is none";
    key = after + 1;
    value = key < at + size ? memchr(key, '=', (size_t)(at + size - key)) : NULL;
    if (!value) return "a pax header in it is none";
    *value++ = 0;
    size_t bytes = (size_t)(at + size - 1 - value);
    if (value > at + size - 1) return "a pax header in it is none";
    if (strcmp(key, "path") == 0) {
      if (!keep(entry->name, value, bytes)) return "a name in it is too long";
      extra->name = true;
    } else if (strcmp(key, "linkpath") == 0) {
      if (!keep(entry->link, value, bytes)) return "a name in it is too long";
      extra->link = true;
    } else if (strcmp(key, "size") == 0) {
      extra->bytes = strtoull(value, NULL, 10);
      extra->size = true;
    } else if (strncmp(key, "GNU.sparse", 10) == 0) return "a file in it is sparse";
    at += size;
  }
  return NULL;
}

int tar_next(int fd, struct entry *entry, const char **why) {
  static char bytes[MOST_EXTRA + BLOCK + 1];
  static struct entry said;
  struct extra extra = {0};
  for (;;) {
    uint8_t block[BLOCK];
    *why = "it is cut short";
    if (!read_whole(fd, block, BLOCK)) return -1;
    if (is_zero(block)) return 0;
    if ((*why = read_header(block, entry))) return -1;
    bool gnu = entry->type == 'L' || entry->type == 'K';
    if (!gnu && entry->type != TAR_EXTRA && entry->type != 'g') break;
    *why = "a name in it is too long";
    if (entry->size > MOST_EXTRA) return -1;
    size_t length = (size_t)entry->size;
    *why = "it is cut short";
    if (!read_whole(fd, bytes, length + tar_padding(length))) return -1;
    bytes[length] = 0;
    *why = "a name in it is too long";
    bool *given = entry->type == 'L' ? &extra.name : &extra.link;
    if (gnu && !(*given = keep(entry->type == 'L' ? said.name : said.link, bytes, strlen(bytes)))) return -1;
    if (entry->type == TAR_EXTRA && (*why = read_records(bytes, length, &said, &extra))) return -1;
  }
  if (extra.name) strcpy(entry->name, said.name);
  if (extra.link) strcpy(entry->link, said.link);
  if (extra.size) entry->size = extra.bytes;
  *why = "a file in it is too large";
  return entry->size >> 62 ? -1 : 1;
}
