// Whether a first program is an init that powers off, by the folder of what proc says of it.
#undef main
#include <fcntl.h>

#include "../src/agent.h"

int main(int argc, char **argv) {
  (void)argc;
  places.proc = open(argv[1], O_PATH | O_DIRECTORY);
  return first_is_init() ? 0 : 1;
}
