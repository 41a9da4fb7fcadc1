// How what the machine is for has ended: from whoever sees it through to whoever serves the host.
#include <fcntl.h>
#include <unistd.h>

#include "agent.h"

static int ends[2] = {-1, -1};
static int known = -1;

void outcome_expect(void) {
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) ends[0] = ends[1] = -1;
}

void outcome_is(int result) {
  const uint8_t byte = (uint8_t)result;
  // Where nobody waits for it, there is nobody to be told.
  if (ends[1] >= 0 && write(ends[1], &byte, 1) != 1) return;
}

int outcome_fd(void) { return known < 0 ? ends[0] : -1; }

bool outcome_read(void) {
  uint8_t byte;
  if (outcome_fd() < 0 || read(ends[0], &byte, 1) != 1) return false;
  known = byte;
  return true;
}

void outcome_say(void) {
  if (known < 0) return;
  put32(output_begin(), (uint32_t)known);
  output_frame(OUTCOME, 0, 4);
}
