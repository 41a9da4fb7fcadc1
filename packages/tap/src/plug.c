#include "tap.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PLUG_SOCKET "plug.sock"

int plug_make(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = PLUG_SOCKET};
  if (unlink(PLUG_SOCKET) < 0 && errno != ENOENT) return -1;
  mode_t mask = umask(0177);
  int plug = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  bool made = plug >= 0 && bind(plug, (struct sockaddr *)&address, sizeof address) == 0 && listen(plug, 1) == 0;
  umask(mask);
  return made ? plug : -1;
}
