// What the agent reads of a host, and of archives that strangers made, with bytes that nobody would send: by libFuzzer
// where that is (-DLIBFUZZER), else by a generator of its own, whose first argument is its seed and whose second how
// many inputs it makes; the others are files with one input each. The sanitizers are what judges.
#undef main
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../src/agent.h"
#include "../src/tar.h"

enum { FRAMES, MESSAGES, REQUEST, ARCHIVE, TARGETS };

static void must(bool true_of_it) {
  if (!true_of_it) abort();
}

static void judge_request(const uint8_t *bytes, size_t length) {
  // Of its very size, so that one byte too many is seen.
  char *texts = malloc(length ? length : 1);
  struct request request;
  memcpy(texts, bytes, length);
  if (request_read(&request, texts, length) == NULL) {
    size_t read = strlen(request.kind);
    for (char **argument = request.arguments; *argument; argument++) read += strlen(*argument);
    for (size_t i = 0; i < request.variables; i++) must(strchr(request.environment[i], '=') != NULL);
    must(read < length && (!request.path || *request.path == '/') && request.seconds <= 60);
    must(request.seeded <= length / 2);
  }
  free(texts);
}

static int file_of(const uint8_t *bytes, size_t length) {
  static int fd = -1;
  if (fd < 0) fd = memfd_create("fuzz", 0);
  must(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, length, 0) == (ssize_t)length && lseek(fd, 0, SEEK_SET) == 0);
  return fd;
}

static void judge_frames(const uint8_t *bytes, size_t length) {
  int fd = file_of(bytes, length);
  struct frame frame;
  input_lost();
  while (input_read(fd))
    while (input_next(&frame)) {
      must(frame.length <= MOST_PAYLOAD);
      if (frame.type == OPEN) judge_request(frame.payload, frame.length);
    }
  while (input_next(&frame)) must(frame.length <= MOST_PAYLOAD);
}

static size_t put_frame(uint8_t *to, uint32_t type, const uint8_t *payload, size_t length) {
  put32(to, type);
  put32(to + 4, type == HELLO ? 0 : 1);
  put32(to + 8, (uint32_t)length);
  memcpy(to + HEADER, payload, length);
  put32(to + 12, crc32(crc32(0, to, 12), to + HEADER, length));
  return HEADER + length;
}

// Frames that are whole, whatever is in them: a byte for the type, two for the length, the payload.
static void judge_messages(const uint8_t *bytes, size_t length) {
  static uint8_t stream[1 << 20];
  size_t to = put_frame(stream, HELLO, (const uint8_t *)"OVMAGNT1sixteen bytes of", 24);
  for (size_t at = 0; at + 3 <= length && to < sizeof stream - 2 * MOST_PAYLOAD;) {
    size_t payload = get16(bytes + at + 1) % (length - at - 2);
    to += put_frame(stream + to, bytes[at] % 16, bytes + at + 3, payload);
    at += 3 + payload;
  }
  judge_frames(stream, to);
}

// Headers that are nearly right, so that more than their sums is read.
static void put_header(uint8_t *block) {
  static const char types[] = "0xLK5g2x";
  uint8_t type = block[1], size = block[2], odd = block[3];
  memcpy(block + 100, "0000644\0000000000\0000000000", 24);
  snprintf((char *)block + 124, 12, "%011o", size * 3u);
  memcpy(block + 136, "00000000017", 12);
  block[156] = (uint8_t)types[type % 8];
  if (odd < 16) block[100 + odd * 3] ^= odd;
  if (odd > 239) block[124] = 0x80;
  if (odd > 247) memset(block + 125, 0, 7);
  uint32_t sum = 8 * ' ';
  for (size_t i = 0; i < BLOCK; i++) sum += i < 148 || i >= 156 ? block[i] : 0;
  snprintf((char *)block + 148, 8, "%06o", sum);
}

static void judge_archive(uint8_t *bytes, size_t length) {
  static const char *const records[] = {"10 path=a\n",     "14 linkpath=b\n", "11 size=12\n", "4 =\n",
                                        "20 GNU.sparse.a=1\n", "99 path=a\n",  "9 size=x\n",  "0 a=b\n"};
  for (size_t at = 0; at + BLOCK <= length; at += BLOCK) {
    if (bytes[at] % 2) put_header(bytes + at);
    else if (bytes[at] % 8) memcpy(bytes + at, records[bytes[at] / 8 % 8], strlen(records[bytes[at] / 8 % 8]));
  }
  static struct entry entry;
  const char *why;
  int fd = file_of(bytes, length);
  while (tar_next(fd, &entry, &why) == 1)
    must(strlen(entry.name) < MOST_PATH && strlen(entry.link) < MOST_PATH && entry.size >> 62 == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  if (length == 0) return 0;
  uint8_t *rest = malloc(length);
  memcpy(rest, bytes + 1, length - 1);
  switch (bytes[0] % TARGETS) {
  case FRAMES: judge_frames(rest, length - 1); break;
  case MESSAGES: judge_messages(rest, length - 1); break;
  case REQUEST: judge_request(rest, length - 1); break;
  default: judge_archive(rest, length - 1);
  }
  free(rest);
  return 0;
}

#ifndef LIBFUZZER
static uint64_t state;

static uint32_t any(uint32_t below) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (uint32_t)(state >> 32) % below;
}

static const char *const WORDS[] = {
    "exec", "read", "write", "hooks", "freeze", "mount", "console", "terminal=1x1", "argument=", "variable=A=", "variable==", "user=", "path=/",
    "terminal=80x24", "terminal=x", "time=", "seed=", "seed=0g", "seconds=6", "event=", "name=", "input", "rename",
    "18446744073709551616", "ustar", "GNU.sparse", "OVMAGNT1", "../", "\n",
};

// Words among noise, each with an end or without.
static size_t make(uint8_t *to, size_t most) {
  size_t length = 1, wanted = 1 + any((uint32_t)most - 100);
  to[0] = (uint8_t)any(256);
  while (length < wanted) {
    const char *word = WORDS[any(sizeof WORDS / sizeof *WORDS)];
    uint32_t way = any(8);
    if (way < 5) length += (size_t)(stpcpy((char *)to + length, word) - (char *)to) - length + (way < 3);
    else if (way == 5) to[length++] = (uint8_t)any(256);
    else if (way == 6) {
      size_t run = any(90);
      memset(to + length, any(2) ? 0 : 'x', run);
      length += run;
    } else {
      size_t next = 1 + (length + BLOCK - 2) / BLOCK * BLOCK;
      length = next < most - 100 ? next : length + 1;
    }
  }
  for (uint32_t flips = any(4); flips > 0; flips--) to[1 + any((uint32_t)length)] ^= (uint8_t)(1 << any(8));
  return length;
}

static void judge_kept(const char *path, uint8_t *bytes, size_t most) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = read(fd, bytes, most);
  must(fd >= 0 && length > 0 && close(fd) == 0);
  LLVMFuzzerTestOneInput(bytes, (size_t)length);
}

int main(int argc, char **argv) {
  static uint8_t bytes[1 << 13];
  state = argc > 1 ? strtoull(argv[1], NULL, 10) * 2654435769u + 1 : 1;
  long count = argc > 2 ? atol(argv[2]) : 1000;
  for (long i = 0; i < count; i++) LLVMFuzzerTestOneInput(bytes, make(bytes, sizeof bytes));
  for (int i = 3; i < argc; i++) judge_kept(argv[i], bytes, sizeof bytes);
  printf("%ld inputs, %d kept\n", count, argc > 3 ? argc - 3 : 0);
  return 0;
}
#endif
