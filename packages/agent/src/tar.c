#include "tar.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MOST_NAME = 100 };
// What eleven octal digits can say.
static const uint64_t MOST_SIZE = 1ull << 33;

size_t tar_padding(uint64_t size) { return (size_t)(-size & (BLOCK - 1)); }

bool read_whole(int fd, void *bytes, size_t length) {
  for (uint8_t *at = bytes; length > 0;) {
    ssize_t count = read(fd, at, length);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    at += count;
    length -= (size_t)count;
  }
  return true;
}

bool write_whole(int fd, const void *bytes, size_t length) {
  for (const uint8_t *at = bytes; length > 0;) {
    ssize_t count = write(fd, at, length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    at += count;
    length -= (size_t)count;
  }
  return true;
}

// Digits with zeros before them, and a zero byte: what is too large for them is said by a pax header.
static void octal(uint8_t *field, int digits, uint64_t value) {
  field[digits] = 0;
  for (int at = digits - 1; at >= 0; at--, value >>= 3) field[at] = (uint8_t)('0' + (value & 7));
}

static void header(uint8_t *block, const struct entry *entry) {
  memset(block, 0, BLOCK);
  strncpy((char *)block, entry->name, MOST_NAME);
  octal(block + 100, 7, entry->mode & 07777);
  octal(block + 108, 7, entry->uid < 1 << 21 ? entry->uid : 0);
  octal(block + 116, 7, entry->gid < 1 << 21 ? entry->gid : 0);
  octal(block + 124, 11, entry->size);
  octal(block + 136, 11, entry->time > 0 ? (uint64_t)entry->time : 0);
  block[156] = (uint8_t)entry->type;
  strncpy((char *)block + 157, entry->link, MOST_NAME);
  memcpy(block + 257, "ustar\00000", 8);
  memset(block + 148, ' ', 8);
  uint32_t sum = 0;
  for (int at = 0; at < BLOCK; at++) sum += block[at];
  octal(block + 148, 6, sum);
}

// Its length, which counts its own digits, a key and a value.
static size_t record(uint8_t *to, const char *key, const char *value) {
  size_t rest = strlen(key) + strlen(value) + 3, length = rest + 1;
  for (char digits[24]; length != rest + (size_t)snprintf(digits, sizeof digits, "%zu", length);)
    length = rest + strlen(digits);
  return (size_t)sprintf((char *)to, "%zu %s=%s\n", length, key, value);
}

size_t tar_headers(uint8_t *to, const struct entry *entry) {
  static const struct entry EXTRA = {.type = TAR_EXTRA, .mode = 0644, .name = "pax"};
  uint8_t *records = to + BLOCK;
  size_t length = 0;
  if (strlen(entry->name) > MOST_NAME) length += record(records, "path", entry->name);
  if (strlen(entry->link) > MOST_NAME) length += record(records + length, "linkpath", entry->link);
  if (entry->size >= MOST_SIZE) {
    char size[24];
    snprintf(size, sizeof size, "%llu", (unsigned long long)entry->size);
    length += record(records + length, "size", size);
  }
  if (length > 0) {
    static struct entry extra;
    extra = EXTRA;
    extra.size = length;
    header(to, &extra);
    memset(records + length, 0, tar_padding(length));
    to = records + length + tar_padding(length);
    length += BLOCK + tar_padding(length);
  }
  header(to, entry);
  return length + BLOCK;
}
