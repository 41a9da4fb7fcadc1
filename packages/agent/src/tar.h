// Of the archives that files come and go in: POSIX.1-2017, "ustar Interchange Format" and "pax Header Block".
#ifndef TAR_H
#define TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BLOCK = 512, MOST_PATH = 4096, MOST_EXTRA = 65536 };
enum { TAR_FILE = '0', TAR_HARD = '1', TAR_LINK = '2', TAR_FOLDER = '5', TAR_EXTRA = 'x' };

struct entry {
  char type;
  uint32_t mode, uid, gid;
  uint64_t size;
  int64_t time; // s since 1970
  char name[MOST_PATH], link[MOST_PATH];
};

// tar.c: an entry's headers, a pax header among them where it needs one; how many bytes they are of `to`.
enum { MOST_HEADERS = 4 * BLOCK + 2 * MOST_PATH };
size_t tar_headers(uint8_t *to, const struct entry *entry);
// tar-read.c: the next entry of the archive on a descriptor. 1 if there is one, 0 at the archive's end, and -1 with why
// it is none.
int tar_next(int fd, struct entry *entry, const char **why);
// Bytes up to the next block.
size_t tar_padding(uint64_t size);
// False at the end of the input.
bool read_whole(int fd, void *bytes, size_t length);
bool write_whole(int fd, const void *bytes, size_t length);

#endif
