#include "tap.h"

#include <poll.h>
#include <unistd.h>

static struct leaving leaving;
static struct entering entering;

static void plug_in(struct beside *beside) {
  close(beside->plug);
  beside->plug = -1;
}

void carry(struct beside beside) {
  for (;;) {
    bool full = leaving.begin < leaving.end, up = beside.plug < 0;
    struct pollfd polls[] = {
        {.fd = beside.device, .events = full ? 0 : POLLIN},
        {.fd = LINK_FD, .events = (short)(POLLIN | (full ? POLLOUT : 0))},
        {.fd = beside.vmm, .events = POLLIN},
        {.fd = beside.plug, .events = POLLIN},
    };
    if (poll(polls, sizeof polls / sizeof *polls, -1) < 0) continue;
    if (polls[2].revents != 0) return;
    bool plugged = polls[3].revents != 0, room = (polls[1].revents & POLLOUT) != 0;
    // What the guest has said before its link is up is lost, also what nobody has looked at yet.
    if ((polls[0].revents != 0 || room || plugged) && !leave(&leaving, beside.device, up)) return;
    if (plugged) plug_in(&beside);
    if ((polls[1].revents & ~POLLOUT) != 0 && !enter(&entering, beside.device, up || plugged)) return;
  }
}
