// Runs a command and makes one of its system calls fail: what a test cannot ask of a real disk.
//
//   inject FOLDER FAULT FROM TO REPORT COMMAND...
//
// Counts those calls of the command's own process, whatever its threads, that FAULT can befall and that are about files below
// FOLDER. Those numbered FROM to TO (1 is the first, 0 to 0 is none) meet the fault:
//   EIO ENOSPC EMFILE ENOMEM  the call is not made and fails so
//   short                     half of the bytes are written
//   crash                     the process is killed in place of the call
// REPORT is written to when the command has ended: how many calls counted, then the one of FROM. The status is the command's.
//
// By seccomp's user notification (seccomp_unotify(2)): it sees raw system calls too, which a preloaded library does not.
// Processes that the command starts inherit the filter and are let through for as long as they live.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum kind { OPEN = 1, READ = 2, WRITE = 4, NAME = 8, SYNC = 16, LIST = 32 };

// Where the path is: argument `path`, relative to the descriptor in argument `at` (-1: to the working directory); or the
// descriptor is argument `fd`. `size` is the argument with the number of bytes of a plain write.
static const struct call {
  const char *name;
  int nr, kind, path, at, fd, size;
} CALLS[] = {
    {"open", SYS_open, OPEN, 0, -1, -1, -1},
    {"openat", SYS_openat, OPEN, 1, 0, -1, -1},
    {"creat", SYS_creat, OPEN, 0, -1, -1, -1},
    {"mkdir", SYS_mkdir, NAME, 0, -1, -1, -1},
    {"mkdirat", SYS_mkdirat, NAME, 1, 0, -1, -1},
    {"rename", SYS_rename, NAME, 1, -1, -1, -1},
    {"renameat", SYS_renameat, NAME, 3, 2, -1, -1},
    {"renameat2", SYS_renameat2, NAME, 3, 2, -1, -1},
    {"link", SYS_link, NAME, 1, -1, -1, -1},
    {"linkat", SYS_linkat, NAME, 3, 2, -1, -1},
    {"unlink", SYS_unlink, SYNC, 0, -1, -1, -1},
    {"unlinkat", SYS_unlinkat, SYNC, 1, 0, -1, -1},
    {"rmdir", SYS_rmdir, SYNC, 0, -1, -1, -1},
    {"chmod", SYS_chmod, SYNC, 0, -1, -1, -1},
    {"fchmodat", SYS_fchmodat, SYNC, 1, 0, -1, -1},
    {"fchmod", SYS_fchmod, SYNC, -1, -1, 0, -1},
    {"fsync", SYS_fsync, SYNC, -1, -1, 0, -1},
    {"fdatasync", SYS_fdatasync, SYNC, -1, -1, 0, -1},
    {"ftruncate", SYS_ftruncate, WRITE, -1, -1, 0, -1},
    {"fallocate", SYS_fallocate, WRITE, -1, -1, 0, -1},
    {"write", SYS_write, WRITE, -1, -1, 0, 2},
    {"pwrite64", SYS_pwrite64, WRITE, -1, -1, 0, 2},
    {"writev", SYS_writev, WRITE, -1, -1, 0, -1},
    {"copy_file_range", SYS_copy_file_range, WRITE, -1, -1, 2, -1},
    {"read", SYS_read, READ, -1, -1, 0, -1},
    {"pread64", SYS_pread64, READ, -1, -1, 0, -1},
    {"getdents64", SYS_getdents64, LIST, -1, -1, 0, -1},
};
enum { COUNT = sizeof CALLS / sizeof *CALLS };

static const struct fault {
  const char *name;
  int error, kinds;
} FAULTS[] = {
    {"EIO", EIO, OPEN | READ | WRITE | NAME | SYNC | LIST},
    {"ENOSPC", ENOSPC, OPEN | WRITE | NAME},
    {"EMFILE", EMFILE, OPEN},
    {"ENOMEM", ENOMEM, OPEN | READ | NAME | LIST},
    {"short", 0, WRITE},
    {"crash", -1, OPEN | READ | WRITE | NAME | SYNC | LIST},
};

static void die(const char *what) {
  fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
  exit(125);
}

static int install(void) {
  struct sock_filter code[COUNT + 4];
  int at = 0;
  code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (int one = 0; one < COUNT; one++)
    code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CALLS[one].nr, COUNT - one, 0);
  code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
  struct sock_fprog program = {.len = at, .filter = code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) die("no_new_privs");
  int fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  if (fd < 0) die("seccomp");
  return fd;
}

// The listener goes to the parent over a socket. sendmsg is not among the calls that are watched.
static void pass(int socket, int fd) {
  char byte = 0, space[CMSG_SPACE(sizeof fd)] = {0};
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS, head->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(head), &fd, sizeof fd);
  if (sendmsg(socket, &message, 0) < 0) die("sendmsg");
}

static int receive(int socket) {
  int fd = -1;
  char byte, space[CMSG_SPACE(sizeof fd)];
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) <= 0 || !CMSG_FIRSTHDR(&message)) exit(125);
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

static int linked(char *into, const char *form, int pid, int fd) {
  char proc[64];
  snprintf(proc, sizeof proc, form, pid, fd);
  ssize_t length = readlink(proc, into, PATH_MAX - 1);
  if (length < 0) return -1;
  into[length] = 0;
  return 0;
}

static int text(int pid, unsigned long address, char *into) {
  // Not beyond the page: what follows may not be there.
  size_t got = 0;
  while (got < PATH_MAX - 1) {
    size_t wanted = 4096 - (address + got) % 4096;
    if (wanted > PATH_MAX - 1 - got) wanted = PATH_MAX - 1 - got;
    struct iovec mine = {into + got, wanted}, theirs = {(void *)(address + got), wanted};
    ssize_t length = process_vm_readv(pid, &mine, 1, &theirs, 1, 0);
    if (length <= 0) return -1;
    if (memchr(into + got, 0, length)) return 0;
    got += length;
  }
  return -1;
}

// What the call is about; empty if that cannot be said.
static void subject(const struct call *call, const struct seccomp_notif *request, char *path) {
  const __u64 *args = request->data.args;
  char given[PATH_MAX], base[PATH_MAX];
  path[0] = 0;
  if (call->fd >= 0) {
    if (linked(path, "/proc/%d/fd/%d", request->pid, args[call->fd])) path[0] = 0;
    return;
  }
  if (text(request->pid, args[call->path], given)) return;
  int at = call->at < 0 ? AT_FDCWD : (int)args[call->at];
  if (given[0] == '/') strcpy(path, given);
  else if (!linked(base, at == AT_FDCWD ? "/proc/%d/cwd" : "/proc/%d/fd/%d", request->pid, at))
    snprintf(path, PATH_MAX, "%.2000s/%.2000s", base, given);
}

// Writes the first half for the process, through its own open file.
static long half(int pid, const struct call *call, const __u64 *args) {
  size_t size = args[call->size] / 2;
  if (size > 1 << 20) size = 1 << 20;
  char *bytes = malloc(size);
  struct iovec mine = {bytes, size}, theirs = {(void *)args[1], size};
  int group = syscall(SYS_pidfd_open, pid, 0);
  int fd = group < 0 ? -1 : syscall(SYS_pidfd_getfd, group, (int)args[0], 0);
  ssize_t done = -1;
  if (fd >= 0 && process_vm_readv(pid, &mine, 1, &theirs, 1, 0) == (ssize_t)size)
    done = call->nr == SYS_write ? write(fd, bytes, size) : pwrite(fd, bytes, size, args[3]);
  close(fd), close(group), free(bytes);
  return done;
}

int main(int count, char **words) {
  if (count < 7) return fputs("inject FOLDER FAULT FROM TO REPORT COMMAND...\n", stderr), 125;
  const char *folder = words[1];
  size_t length = strlen(folder);
  long from = atol(words[3]), to = atol(words[4]), seen = 0;
  const struct fault *fault = NULL;
  for (size_t one = 0; one < sizeof FAULTS / sizeof *FAULTS; one++)
    if (!strcmp(FAULTS[one].name, words[2])) fault = &FAULTS[one];
  if (!fault) return fprintf(stderr, "inject: no such fault: %s\n", words[2]), 125;

  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) die("socketpair");
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int listener = install();
    pass(pair[0], listener);
    close(listener);
    execvp(words[6], words + 6);
    _exit(127);
  }
  close(pair[0]);
  int listener = receive(pair[1]);
  signal(SIGPIPE, SIG_IGN);
  // Whoever ends us means the command.
  char hit[PATH_MAX + 64] = "-";
  int status = -1, reported = 0;
  for (;;) {
    if (status < 0 && waitpid(child, &status, WNOHANG) != child) status = -1;
    if (status >= 0 && !reported) {
      FILE *report = fopen(words[5], "w");
      if (report) fprintf(report, "%ld %s\n", seen, hit), fclose(report);
      reported = 1;
      // What it started may live on, and needs us: the caller does not.
      pid_t rest = fork();
      if (rest != 0) _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
      setsid();
      int null = open("/dev/null", O_RDWR);
      for (int fd = 0; fd < 3; fd++) dup2(null, fd);
    }
    struct pollfd waiting = {listener, POLLIN, 0};
    int ready = poll(&waiting, 1, 10);
    if (waiting.revents & POLLHUP && reported) return 0;
    if (ready <= 0 || !(waiting.revents & POLLIN)) continue;
    struct seccomp_notif request = {0};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request)) continue;
    struct seccomp_notif_resp answer = {.id = request.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    const struct call *call = CALLS;
    while (call->nr != request.data.nr) call++;
    char task[64], path[PATH_MAX];
    snprintf(task, sizeof task, "/proc/%d/task/%d", child, request.pid);
    if (status < 0 && call->kind & fault->kinds && (fault->error || call->size >= 0) && !access(task, F_OK)) {
      subject(call, &request, path);
      if (!strncmp(path, folder, length) && (path[length] == '/' || !path[length])) {
        seen++;
        if (seen == from) snprintf(hit, sizeof hit, "%s %s", call->name, path);
        if (seen >= from && seen <= to) {
          // Without an answer: the call is never made.
          if (fault->error < 0 && !kill(child, SIGKILL)) continue;
          if (fault->error) answer.flags = 0, answer.error = -fault->error;
          else if (request.data.args[call->size] > 1) {
            long done = half(request.pid, call, request.data.args);
            if (done > 0) answer.flags = 0, answer.val = done;
          }
        }
      }
    }
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
}
