#include "forward.h"

#include "../../confine/src/confine.h"

// musl waits by the older call where there is one.
#if defined(SYS_poll)
#define WAIT ALLOW(SYS_poll), ALLOW(SYS_ppoll)
#else
#define WAIT ALLOW(SYS_ppoll)
#endif

bool confine(void) {
  struct sock_filter few[] = {CALLS(
      // What carries.
      ALLOW(SYS_recvfrom), ALLOW(SYS_sendto), ALLOW(SYS_recvmsg), ALLOW(SYS_sendmsg), WAIT, ALLOW(SYS_accept4), ALLOW(SYS_socket), ALLOW(SYS_connect),
      ALLOW(SYS_shutdown), ALLOW(SYS_setsockopt), ALLOW(SYS_getsockopt), ALLOW(SYS_close), ALLOW(SYS_ioctl), ALLOW(SYS_clock_gettime),
      // Memory, and the end.
      ALLOW(SYS_brk), ALLOW(SYS_mmap), ALLOW(SYS_munmap), ALLOW(SYS_mremap), ALLOW(SYS_madvise), ALLOW(SYS_restart_syscall), ALLOW(SYS_rt_sigreturn),
      ALLOW(SYS_exit_group))};
  return confine_to(few, sizeof few / sizeof *few);
}
