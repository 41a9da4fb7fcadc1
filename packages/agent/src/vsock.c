// The channel of a machine without virtio-serial: a stream that its host opens to a port of the guest's (spec/agent.md).
#include <sys/socket.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

#include "agent.h"

int vsock_listen(void) {
  const struct sockaddr_vm here = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = VSOCK_PORT};
  int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  if (bind(fd, (const struct sockaddr *)&here, sizeof here) == 0 && listen(fd, 1) == 0) return fd;
  close(fd);
  return -1;
}

int vsock_accept(int listening) {
  struct sockaddr_vm peer = {0};
  socklen_t length = sizeof peer;
  int fd = accept4(listening, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0 || peer.svm_cid == VMADDR_CID_HOST) return fd;
  close(fd);
  return -1;
}
