// What the programs beside a machine give up, once they have what they need: rights, and all but few system calls.
#ifndef CONFINE_H
#define CONFINE_H

#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define KILL BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
// Calls of this architecture, as far as ALLOW says: `struct sock_filter few[] = {CALLS(ALLOW(…), …)};`
#define CALLS(...) LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0), KILL, LOAD(nr), __VA_ARGS__, KILL

static inline bool become_nobody(void) {
  enum { NOBODY = 65534 };
  if (geteuid() != 0) return true;
  return setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

// Nobody, where it was root, with these calls alone.
static inline bool confine_to(struct sock_filter *few, size_t count) {
  if (!become_nobody() || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
#ifdef __SANITIZE_ADDRESS__
  // Its reports take calls of their own.
  (void)few, (void)count;
  return true;
#else
  struct sock_fprog filter = {(unsigned short)count, few};
  // A kernel without it runs the rest.
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0 || errno == EINVAL || errno == ENOSYS;
#endif
}

#endif
