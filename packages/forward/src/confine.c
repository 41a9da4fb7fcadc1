#include "forward.h"

#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NOBODY = 65534 };

static bool become_nobody(void) {
  if (geteuid() != 0) return true;
  return setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
// musl waits by the older call where there is one.
#if defined(SYS_poll)
#define WAIT ALLOW(SYS_poll),
#else
#define WAIT
#endif
#define KILL BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

static bool keep_few_calls(void) {
  struct sock_filter program[] = {
      LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0), KILL, LOAD(nr),
      // What carries.
      ALLOW(SYS_recvfrom), ALLOW(SYS_sendto), ALLOW(SYS_recvmsg), ALLOW(SYS_sendmsg), ALLOW(SYS_ppoll), WAIT ALLOW(SYS_accept4), ALLOW(SYS_socket),
      ALLOW(SYS_connect), ALLOW(SYS_shutdown), ALLOW(SYS_setsockopt), ALLOW(SYS_getsockopt), ALLOW(SYS_close), ALLOW(SYS_ioctl), ALLOW(SYS_clock_gettime),
      // Memory, and the end.
      ALLOW(SYS_brk), ALLOW(SYS_mmap), ALLOW(SYS_munmap), ALLOW(SYS_mremap), ALLOW(SYS_madvise), ALLOW(SYS_restart_syscall), ALLOW(SYS_rt_sigreturn),
      ALLOW(SYS_exit_group), KILL,
  };
  struct sock_fprog filter = {sizeof program / sizeof *program, program};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

bool confine(void) {
  if (!become_nobody() || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
#ifdef __SANITIZE_ADDRESS__
  // Its reports take calls of their own.
  return true;
#endif
  // A kernel without it runs the rest.
  return keep_few_calls() || errno == EINVAL || errno == ENOSYS;
}
