// Whether the guest's kernel can power off, by a folder that stands for sys.
#undef main
#include <fcntl.h>

#include "../src/agent.h"

int main(int argc, char **argv) {
  (void)argc;
  places.sys = open(argv[1], O_PATH | O_DIRECTORY);
  return can_power_off() ? 0 : 1;
}
