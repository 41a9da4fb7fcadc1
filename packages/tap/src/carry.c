#include "tap.h"

#include <poll.h>

static struct leaving leaving;
static struct entering entering;

void carry(int device, int vmm, bool up) {
  for (;;) {
    bool full = leaving.begin < leaving.end;
    struct pollfd polls[] = {
        {.fd = device, .events = full ? 0 : POLLIN},
        {.fd = LINK_FD, .events = (short)(POLLIN | (full ? POLLOUT : 0))},
        {.fd = vmm, .events = POLLIN},
        // Its end needs no asking for.
        {.fd = up ? -1 : PLUG_FD},
    };
    if (poll(polls, sizeof polls / sizeof *polls, -1) < 0) continue;
    if (polls[2].revents != 0) return;
    bool plugged = polls[3].revents != 0;
    // What the guest has said before its link is up is lost, also what nobody has looked at yet.
    if (plugged || polls[0].revents != 0 || (polls[1].revents & POLLOUT) != 0)
      if (!leave(&leaving, device, up)) return;
    up = up || plugged;
    if ((polls[1].revents & ~POLLOUT) != 0 && !enter(&entering, device, up)) return;
  }
}
