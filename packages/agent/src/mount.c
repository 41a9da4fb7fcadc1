// A folder of the host, by the name that its device has, becomes one of the guest.
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent.h"

// Uncached but for what is mapped: what either side writes the other one sees.
#define OPTIONS "trans=virtio,version=9p2000.L,msize=262144,cache=mmap"
#define TMPFS_MAGIC 0x01021994
#define RAMFS_MAGIC 0x858458f6

// A root may be read-only at first, and a driver come late.
enum { LOOK_US = 50000, PATIENCE_MS = 20000, VIRTIOFS_MS = 5000, PROC_MS = 5000 };

static const char NINEP[] = "9p", VIRTIOFS[] = "virtiofs";

// That of an initramfs, whose files are all deleted once the guest has changed to the root of its disk.
static bool is_first_root(void) {
  struct stat ours, its;
  struct statfs kind;
  if (places.here || stat("/", &ours) != 0 || fstatat(places.proc, "1/root", &its, 0) != 0) return false;
  if (ours.st_dev != its.st_dev || ours.st_ino != its.st_ino) return false;
  return statfs("/", &kind) == 0 && ((unsigned)kind.f_type == RAMFS_MAGIC || kind.f_type == TMPFS_MAGIC);
}

static bool make_folders(char *path) {
  for (char *at = path + 1; *at; at++) {
    if (*at != '/') continue;
    *at = 0;
    bool made = mkdir(path, 0755) == 0 || errno == EEXIST;
    *at = '/';
    if (!made) return false;
  }
  return mkdir(path, 0755) == 0 || errno == EEXIST;
}

// It was, for a host of before: as what it is; NULL if it is not. What statfs says of 9p is the host's file system.
static const char *is_mounted(const char *tag, const char *path) {
  FILE *mounts = setmntent("/proc/self/mounts", "re");
  const char *found = NULL;
  for (struct mntent *one; mounts && (one = getmntent(mounts));) {
    if (strcmp(one->mnt_dir, path) != 0) continue;
    bool ours = strcmp(one->mnt_fsname, tag) == 0;
    // The last one is on top.
    found = ours && strcmp(one->mnt_type, NINEP) == 0 ? NINEP : ours && strcmp(one->mnt_type, VIRTIOFS) == 0 ? VIRTIOFS : NULL;
  }
  if (mounts) endmntent(mounts);
  return found;
}

// As what; NULL with errno set. A kernel that has virtiofs has its device a moment later, one that has not never will.
static const char *mounted(const struct request *request, int waited) {
  unsigned long flags = MS_NOSUID | MS_NODEV | (request->read_only ? MS_RDONLY : 0);
  const char *already = is_mounted(request->tag, request->path);
  if (already) return already;
  if (!make_folders(request->path)) return NULL;
  if (request->virtiofs) {
    if (mount(request->tag, request->path, VIRTIOFS, flags, NULL) == 0) return VIRTIOFS;
    if (errno != ENODEV && waited < VIRTIOFS_MS) return NULL;
  }
  return mount(request->tag, request->path, NINEP, flags, OPTIONS) == 0 ? NINEP : NULL;
}

// It leaves that as a rule: the kernel was told of a root, or systemd's way of saying so is there.
static bool is_going_to_leave(void) {
  char line[4096] = " ";
  struct stat found;
  if (fstatat(places.proc, "1/root/etc/initrd-release", &found, 0) == 0) return true;
  int fd = openat(places.proc, "cmdline", O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, line + 1, sizeof line - 2);
  if (fd >= 0) close(fd);
  if (length > 0) line[length + 1] = 0;
  return strstr(line, " root=") != NULL;
}

void wait_for_root(void) {
  while (is_first_root()) usleep(LOOK_US);
}

// What comes first there is to mount proc, without which next to nothing works. It may be that nobody does.
static void wait_for_proc(void) {
  struct stat found;
  for (int waited = 0; waited < PROC_MS && fstatat(places.proc, "1/root/proc/1", &found, 0) != 0; waited += LOOK_US / 1000)
    usleep(LOOK_US);
}

bool root_is_settled(void) { return !is_first_root() || !is_going_to_leave(); }

void root_left(void) {
  wait_for_root();
  wait_for_proc();
  _exit(0);
}

void mount_share(const struct request *request) {
  if (request->settled) wait_for_root();
  if (!enter_alone()) {
    dprintf(2, "the guest's root: %s\n", strerror(errno));
    _exit(1);
  }
  const char *kind;
  for (int waited = 0; !(kind = mounted(request, waited)); waited += LOOK_US / 1000) {
    if (waited >= PATIENCE_MS) {
      dprintf(2, "%s\n", errno == ENODEV ? "the guest's kernel has no 9p" : strerror(errno));
      _exit(1);
    }
    usleep(LOOK_US);
  }
  dprintf(1, "%s\n", kind);
  _exit(0);
}
