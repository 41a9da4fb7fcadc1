// The first program of a machine that was a container image: spec/import.md.
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

#define MAIN_TEXTS "/etc/ovm/main"
// Of linux/ext4.h, which is not everywhere: the file system gets so many blocks.
#define GROW _IOW('f', 16, uint64_t)

enum { MOST_MAIN = 1 << 20, SECTORS_OF_BLOCK = 8 };

bool is_container(void) { return access(MAIN_TEXTS, F_OK) == 0; }

// What is there already, and what the kernel does not know, is passed over.
static void mount_all(void) {
  static const struct {
    const char *type, *path, *options;
  } all[] = {
      {"proc", "/proc", NULL},
      {"sysfs", "/sys", NULL},
      {"devtmpfs", "/dev", NULL},
      {"devpts", "/dev/pts", "ptmxmode=0666,mode=0620,gid=5"},
      {"tmpfs", "/dev/shm", "mode=1777"},
      {"cgroup2", "/sys/fs/cgroup", NULL},
  };
  static const char *const links[][2] = {
      {"/proc/self/fd", "/dev/fd"},
      {"/proc/self/fd/0", "/dev/stdin"},
      {"/proc/self/fd/1", "/dev/stdout"},
      {"/proc/self/fd/2", "/dev/stderr"},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    mkdir(all[i].path, 0755);
    mount(all[i].type, all[i].path, all[i].type, MS_NOSUID, all[i].options);
  }
  for (size_t i = 0; i < sizeof links / sizeof *links; i++)
    if (symlink(links[i][0], links[i][1]) != 0) continue;
  mount(NULL, "/", NULL, MS_REMOUNT, NULL);
}

// The disk may be larger than the image's.
static void grow_root(void) {
  char path[64];
  struct stat root;
  uint64_t sectors = 0;
  if (stat("/", &root) != 0) return;
  snprintf(path, sizeof path, "/sys/dev/block/%u:%u/size", major(root.st_dev), minor(root.st_dev));
  FILE *file = fopen(path, "re");
  if (!file) return;
  int read = fscanf(file, "%llu", (unsigned long long *)&sectors);
  fclose(file);
  int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  uint64_t blocks = sectors / SECTORS_OF_BLOCK;
  if (fd >= 0 && read == 1 && ioctl(fd, GROW, &blocks) != 0 && errno != EINVAL)
    dprintf(2, "ovm-init: the root cannot grow: %s\n", strerror(errno));
  if (fd >= 0) close(fd);
}

static void loopback_up(void) {
  struct ifreq request = {.ifr_name = "lo"};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  ioctl(fd, SIOCSIFFLAGS, &request);
  close(fd);
}

// False if the machine is for nothing of its own.
static bool read_main(struct request *request) {
  static char texts[MOST_MAIN];
  int fd = open(MAIN_TEXTS, O_RDONLY | O_CLOEXEC);
  size_t length = 0;
  for (ssize_t count = 1; fd >= 0 && count > 0 && length < sizeof texts; length += count > 0 ? (size_t)count : 0)
    count = read(fd, texts + length, sizeof texts - length);
  if (fd >= 0) close(fd);
  if (length == 0) return false;
  const char *fault = request_read(request, texts, length);
  if (!fault && !request->arguments[0]) fault = "it names no program";
  if (fault) dprintf(2, "ovm-init: %s: %s\n", MAIN_TEXTS, fault);
  return !fault;
}

// A machine that steps of a build are done in is told not to begin it: spec/building.md.
static bool is_put_off(void) {
  char line[4096] = " ";
  FILE *file = fopen("/proc/cmdline", "re");
  if (!file) return false;
  size_t length = fread(line + 1, 1, sizeof line - 3, file);
  fclose(file);
  // It ends with a newline.
  line[length > 0 && line[length] == '\n' ? length : length + 1] = ' ';
  return strstr(line, " ovm.main=off ") != NULL;
}

// One that has to be the first program, and does by itself all that is done here.
static bool is_init(const char *program) {
  const char *slash = strrchr(program, '/');
  const char *name = slash ? slash + 1 : program;
  return strcmp(name, "init") == 0 || strcmp(name, "systemd") == 0;
}

void init_run(void) {
  struct request request;
  mount_all();
  places_open();
  places.here = true;
  grow_root();
  bool main = !is_put_off() && read_main(&request);
  if (main && is_init(request.arguments[0])) exec_command(&request);
  loopback_up();
  if (fork() == 0) lease_keep();
  if (main && fork() == 0) main_see_through(&request);
  for (;;)
    if (wait(NULL) < 0) sleep(1);
}
