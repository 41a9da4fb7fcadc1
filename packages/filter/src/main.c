// Stands between one VMM and its passt, and lets through what the guest may send and get. Ends when either of them has,
// and depends on nobody else.
#include "filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct rules rules;
// Ends of handshakes wait until passt has read what they answer.
static struct pump leaving, entering, ends;

static const struct timespec LOOK = {.tv_nsec = 100000};

static int fail(const char *why) {
  dprintf(2, FILTER_NAME ": %s\n", why);
  return 2;
}

static bool request_read(void) {
  struct stat found;
  if (fstat(REQUEST_FD, &found) < 0 || found.st_size < 1) return false;
  size_t length = (size_t)found.st_size;
  char *text = mmap(NULL, length, PROT_READ, MAP_PRIVATE, REQUEST_FD, 0);
  if (text == MAP_FAILED) return false;
  bool read = text[length - 1] == '\0' && rules_read(text, &rules);
  munmap(text, length);
  return read;
}

static uint32_t seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint32_t)now.tv_sec + 1;
}

// passt of Debian 12 goes round for ever over what follows a SYN,ACK in what it reads at once (`while ((n -= ...))` of its
// tap.c). So the guest gets to send on only when that has been read, which takes two looks: it may be reading just now.
static void give_ends(void) {
  static unsigned looks;
  int unread;
  bool waits = ends.ready > 0 && leaving.begin == leaving.ready;
  looks = waits && ioctl(OUTSIDE_FD, SIOCOUTQ, &unread) == 0 && unread == 0 ? looks + 1 : 0;
  if (looks < 2) return;
  pump_give(&ends, &entering);
  looks = 0;
}

// What one socket takes is read from the other only once the last of it is written: nothing piles up here.
static short wanted(const struct pump *from, const struct pump *to) {
  return (short)((from->begin == from->ready ? POLLIN : 0) | (to->begin < to->ready ? POLLOUT : 0));
}

static bool move(struct pump *pump, const struct pollfd *from, const struct pollfd *to, uint32_t now) {
  if (pump->begin == pump->ready && (from->revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
      !pump_fill(pump, from->fd, &rules, now))
    return false;
  return pump_drain(pump, to->fd);
}

static void carry(void) {
  leaving.passes = frame_leaves;
  leaving.ends = &ends;
  entering.passes = frame_enters;
  struct pollfd guest = {.fd = GUEST_FD}, outside = {.fd = OUTSIDE_FD};
  for (;;) {
    give_ends();
    guest.events = wanted(&leaving, &entering);
    if (ends.ready > 0) guest.events &= ~POLLIN;
    outside.events = wanted(&entering, &leaving);
    struct pollfd both[] = {guest, outside};
    if (ppoll(both, 2, ends.ready > 0 ? &LOOK : NULL, NULL) < 0 && errno != EINTR) return;
    uint32_t now = seconds();
    if (!move(&leaving, &both[0], &both[1], now) || !move(&entering, &both[1], &both[0], now)) return;
    if (((both[0].revents | both[1].revents) & (POLLHUP | POLLERR)) != 0) return;
  }
}

int main(void) {
  if (fcntl(GUEST_FD, F_SETFL, O_NONBLOCK) < 0 || fcntl(OUTSIDE_FD, F_SETFL, O_NONBLOCK) < 0 || !request_read())
    return fail("started by ovm only, for one machine");
  prctl(PR_SET_NAME, FILTER_NAME);
  close(REQUEST_FD);
  close(PROGRAM_FD);
  syscall(SYS_close_range, OUTSIDE_FD + 1, ~0U, 0);
  signal(SIGPIPE, SIG_IGN);
  // In the background once it is ready: the end of the first process says so, as passt's does.
  pid_t pid = fork();
  if (pid < 0) return fail("no process could be made");
  if (pid > 0) _exit(0);
  for (int fd = 0; fd <= 2; fd++) close(fd);
  if (confine()) carry();
  return 1;
}
