// What is at a path of the guest, as an archive on our output.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "tar.h"

enum { OUT = 1, PIECE = 65536 };

static struct entry entry;

_Noreturn static void fail(const char *path, const char *why) {
  dprintf(2, "%s: %s\n", path, why);
  _exit(1);
}

static void say(const void *bytes, size_t length) {
  if (!write_whole(OUT, bytes, length)) _exit(1);
}

static void say_headers(const struct stat *found, char type, uint64_t size) {
  static uint8_t headers[MOST_HEADERS];
  entry.type = type;
  entry.mode = found->st_mode & 07777;
  entry.uid = found->st_uid;
  entry.gid = found->st_gid;
  entry.size = size;
  entry.time = found->st_mtime;
  say(headers, tar_headers(headers, &entry));
}

// As many bytes as there are, up to `most`.
static size_t take(int fd, uint8_t *piece, size_t most) {
  size_t length = 0;
  while (length < most) {
    ssize_t count = read(fd, piece + length, most - length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(entry.name, strerror(errno));
    if (count == 0) break;
    length += (size_t)count;
  }
  return length;
}

static void say_file(int fd, const struct stat *found) {
  static uint8_t piece[PIECE];
  uint64_t size = (uint64_t)found->st_size;
  size_t length = take(fd, piece, PIECE);
  // What the kernel makes up, as in proc and sysfs, has a size that says nothing.
  if (length < PIECE) size = length;
  else if (size < PIECE) fail(entry.name, "it is longer than it says");
  say_headers(found, TAR_FILE, size);
  for (uint64_t left = size;;) {
    // One that grows meanwhile is cut.
    if (length > left) length = (size_t)left;
    say(piece, length);
    left -= length;
    if (left == 0) break;
    length = take(fd, piece, PIECE);
    if (length == 0) fail(entry.name, "it became shorter while it was read");
  }
  memset(piece, 0, BLOCK);
  say(piece, tar_padding(size));
}

static void say_one(int at, const char *path, bool follow);

static void say_folder(int fd, const struct stat *found) {
  size_t length = strlen(entry.name);
  if (length + 1 >= MOST_PATH) fail(entry.name, strerror(ENAMETOOLONG));
  strcpy(entry.name + length++, "/");
  say_headers(found, TAR_FOLDER, 0);
  DIR *folder = fdopendir(fd);
  if (!folder) fail(entry.name, strerror(errno));
  for (struct dirent *below; (errno = 0, below = readdir(folder));) {
    if (strcmp(below->d_name, ".") == 0 || strcmp(below->d_name, "..") == 0) continue;
    if (length + strlen(below->d_name) >= MOST_PATH) fail(entry.name, strerror(ENAMETOOLONG));
    strcpy(entry.name + length, below->d_name);
    say_one(dirfd(folder), below->d_name, false);
    entry.name[length] = 0;
  }
  if (errno != 0) fail(entry.name, strerror(errno));
  closedir(folder);
}

// `path` is in `at`, and called entry.name in the archive.
static void say_one(int at, const char *path, bool follow) {
  struct stat found;
  if (fstatat(at, path, &found, follow ? 0 : AT_SYMLINK_NOFOLLOW) != 0) {
    // It was there a moment ago.
    if (errno == ENOENT && !follow) return;
    fail(follow ? path : entry.name, strerror(errno));
  }
  if (S_ISLNK(found.st_mode)) {
    ssize_t length = readlinkat(at, path, entry.link, sizeof entry.link - 1);
    if (length < 0) fail(entry.name, strerror(errno));
    entry.link[length] = 0;
    say_headers(&found, TAR_LINK, 0);
    entry.link[0] = 0;
    return;
  }
  if (S_ISREG(found.st_mode) || S_ISDIR(found.st_mode)) {
    int fd = openat(at, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
    // What it is may have changed since.
    if (fd < 0 || fstat(fd, &found) != 0) fail(follow ? path : entry.name, strerror(errno));
    if (S_ISDIR(found.st_mode)) return say_folder(fd, &found);
    if (S_ISREG(found.st_mode)) say_file(fd, &found);
    close(fd);
    return;
  }
  // A socket has no place in an archive.
  if (S_ISCHR(found.st_mode)) say_headers(&found, '3', 0);
  if (S_ISBLK(found.st_mode)) say_headers(&found, '4', 0);
  if (S_ISFIFO(found.st_mode)) say_headers(&found, '6', 0);
}

void files_read(const struct request *request) {
  static const uint8_t end[2 * BLOCK];
  char *path = request->path;
  if (!enter_alone()) fail("the guest's root", strerror(errno));
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') path[--length] = 0;
  const char *name = strrchr(path, '/') + 1;
  if (strlen(name) >= MOST_PATH) fail(name, strerror(ENAMETOOLONG));
  strcpy(entry.name, *name ? name : ".");
  say_one(AT_FDCWD, path, true);
  say(end, sizeof end);
  _exit(0);
}
