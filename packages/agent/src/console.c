// The guest's first serial port, which is the machine's console: whoever is attached to it has a terminal of some size.
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"

int console_resize(uint16_t rows, uint16_t columns) {
  // Not /dev/console, which may be a screen. Without waiting for a carrier.
  int fd = openat(places.dev, "ttyS0", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return errno;
  struct winsize size = {.ws_row = rows, .ws_col = columns};
  int error = ioctl(fd, TIOCSWINSZ, &size) == 0 ? 0 : errno;
  close(fd);
  return error;
}
