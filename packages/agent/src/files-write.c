// An archive from our input, into a folder of the guest.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "tar.h"

enum { IN = 0, PIECE = 65536, FOLDER = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

// What is done to a folder once all is in it, the last one first.
struct later {
  struct later *before;
  uint32_t mode, uid, gid;
  int64_t time;
  char path[];
};

static int top;             // where all of it goes
static const char *renamed; // what the first part of each name is, if not what the archive says
static struct entry entry;

_Noreturn static void fail(const char *path, const char *why) {
  dprintf(2, "%s: %s\n", path, why);
  _exit(1);
}

// Of a name of the archive: without empty parts and single dots, and under its new name. False if it leads out.
static bool clean(char *name) {
  static char from[MOST_PATH];
  strcpy(from, name);
  char *to = name, *rest = from;
  *to = 0;
  if (*from == '/') return false;
  bool first = true;
  for (char *part; (part = strsep(&rest, "/"));) {
    if (*part == 0 || strcmp(part, ".") == 0) continue;
    if (strcmp(part, "..") == 0) return false;
    const char *called = first && renamed ? renamed : part;
    if ((size_t)(to - name) + strlen(called) + 2 > MOST_PATH) return false;
    if (!first) *to++ = '/';
    to = stpcpy(to, called);
    first = false;
  }
  return true;
}

// The folder that `name` is in, which is made where it is not there, and the last part of the name. No link is followed.
static int parent_of(const char *name, const char **last) {
  static char parts[MOST_PATH];
  strcpy(parts, name);
  int at = dup(top);
  char *part = parts;
  for (char *slash; at >= 0 && (slash = strchr(part, '/')); part = slash + 1) {
    *slash = 0;
    if (mkdirat(at, part, 0755) != 0 && errno != EEXIST) fail(name, strerror(errno));
    int below = openat(at, part, FOLDER);
    if (below < 0) fail(name, errno == ELOOP || errno == ENOTDIR ? "it leads through what is no folder" : strerror(errno));
    close(at);
    at = below;
  }
  if (at < 0) fail(name, strerror(errno));
  *last = name + (part - parts);
  return at;
}

static const char *temporary(void) {
  static char name[40];
  static unsigned count;
  snprintf(name, sizeof name, ".ovm-%d-%u", (int)getpid(), count++);
  return name;
}

// Takes what was made aside again, which may have no name yet, and says why.
_Noreturn static void undo(int at, const char *made, const char *why) {
  if (made) unlinkat(at, made, 0);
  fail(entry.name, why);
}

// `fd` is of what was made; -1 for a link, which has no permissions of its own.
static void adorn(int at, const char *made, int fd) {
  const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = entry.time}};
  int owned = fd < 0 ? fchownat(at, made, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) : fchown(fd, entry.uid, entry.gid);
  if (owned != 0 || (fd >= 0 && fchmod(fd, entry.mode) != 0)) undo(at, made, strerror(errno));
  if (fd < 0) utimensat(at, made, times, AT_SYMLINK_NOFOLLOW);
  else futimens(fd, times);
}

// Whoever looks at the name sees what was there before, or all of it.
static void put(int at, const char *made, const char *last) {
  if (renameat(at, made, at, last) != 0) undo(at, made, strerror(errno));
}

// A file without a name goes with its process, however that ends; a file system that knows none has one with a name.
static int open_aside(int at, const char **made) {
  int fd = openat(at, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  *made = fd < 0 ? temporary() : NULL;
  return fd < 0 ? openat(at, *made, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : fd;
}

// By itself, as root may, or else by its path.
static const char *give_name(int fd, int at) {
  char path[40];
  const char *made = temporary();
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  if (linkat(fd, "", at, made, AT_EMPTY_PATH) != 0 && linkat(AT_FDCWD, path, at, made, AT_SYMLINK_FOLLOW) != 0)
    fail(entry.name, strerror(errno));
  return made;
}

// A device, pipe or socket is somebody's: no file takes its place.
static void spare(int at, const char *last) {
  struct stat found;
  if (fstatat(at, last, &found, AT_SYMLINK_NOFOLLOW) != 0) return;
  if (!S_ISREG(found.st_mode) && !S_ISLNK(found.st_mode) && !S_ISDIR(found.st_mode))
    fail(entry.name, "there is a device, pipe or socket in its place");
}

static void make_file(int at, const char *last) {
  static uint8_t piece[PIECE];
  const char *made;
  int fd = open_aside(at, &made);
  if (fd < 0) fail(entry.name, strerror(errno));
  for (uint64_t left = entry.size; left > 0;) {
    size_t length = left < PIECE ? (size_t)left : PIECE;
    if (!read_whole(IN, piece, length)) undo(at, made, "it is cut short");
    if (!write_whole(fd, piece, length)) undo(at, made, strerror(errno));
    left -= length;
  }
  if (!read_whole(IN, piece, tar_padding(entry.size))) undo(at, made, "it is cut short");
  adorn(at, made, fd);
  if (!made) made = give_name(fd, at);
  // Some file systems say only now that they have no room.
  if (close(fd) != 0) undo(at, made, strerror(errno));
  put(at, made, last);
}

static void make_link(int at, const char *last) {
  const char *made = temporary();
  if (symlinkat(entry.link, at, made) != 0) fail(entry.name, strerror(errno));
  adorn(at, made, -1);
  put(at, made, last);
}

// Another name of a file that came before.
static void make_hard(int at, const char *last) {
  const char *made = temporary(), *of;
  if (!clean(entry.link) || entry.link[0] == 0) fail(entry.link, "it leads out of the archive");
  int there = parent_of(entry.link, &of);
  if (linkat(there, of, at, made, 0) != 0) fail(entry.name, strerror(errno));
  close(there);
  put(at, made, last);
  // Where both were the same file already, nothing was renamed.
  unlinkat(at, made, 0);
}

static struct later *make_folder(int at, const char *last, struct later *before) {
  if (mkdirat(at, last, 0755) != 0 && errno != EEXIST) fail(entry.name, strerror(errno));
  struct stat found;
  if (fstatat(at, last, &found, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(found.st_mode))
    fail(entry.name, "there is something in its place that is no folder");
  struct later *later = malloc(sizeof *later + strlen(entry.name) + 1);
  if (!later) fail(entry.name, strerror(ENOMEM));
  *later = (struct later){before, entry.mode, entry.uid, entry.gid, entry.time};
  strcpy(later->path, entry.name);
  return later;
}

static void finish(struct later *later) {
  for (; later; later = later->before) {
    const char *last;
    strcpy(entry.name, later->path);
    int at = parent_of(later->path, &last);
    int fd = openat(at, last, FOLDER);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = later->time}};
    if (fd < 0 || fchown(fd, later->uid, later->gid) != 0 || fchmod(fd, later->mode) != 0)
      fail(later->path, strerror(errno));
    futimens(fd, times);
    close(fd);
    close(at);
  }
}

// Into the folder that was named, or under the name that was said in the folder that it is in.
static void find_top(const struct request *request) {
  char *path = request->path;
  top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (top >= 0) return;
  char *slash = strrchr(path, '/');
  if (errno != ENOENT && errno != ENOTDIR) fail(path, strerror(errno));
  if (!request->rename || slash[1] == 0) fail(path, "there is no such folder");
  renamed = strdup(slash + 1);
  slash[slash == path ? 1 : 0] = 0;
  top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (top < 0) fail(path, "there is no such folder");
}

void files_write(const struct request *request) {
  if (!enter_alone()) fail("the guest's root", strerror(errno));
  find_top(request);
  umask(0);
  const char *why;
  struct later *later = NULL;
  int found;
  while ((found = tar_next(IN, &entry, &why)) > 0) {
    if (!clean(entry.name)) fail(entry.name, "it leads out of the archive");
    // The folder itself stays as it is.
    if (entry.name[0] == 0 && entry.type == TAR_FOLDER) continue;
    if (entry.name[0] == 0) fail("the archive", "a file in it has no name");
    const char *last;
    int at = parent_of(entry.name, &last);
    if (entry.type != TAR_FOLDER) spare(at, last);
    if (entry.type == TAR_FILE) make_file(at, last);
    else if (entry.type == TAR_LINK) make_link(at, last);
    else if (entry.type == TAR_HARD) make_hard(at, last);
    else if (entry.type == TAR_FOLDER) later = make_folder(at, last, later);
    else fail(entry.name, "it is neither a file, nor a folder, nor a link");
    close(at);
  }
  if (found < 0) fail("the archive", why);
  finish(later);
  _exit(0);
}
