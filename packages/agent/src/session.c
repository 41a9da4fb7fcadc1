#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

static const char FEATURES[] = "protocol=1\0features=exec terminal files shutdown time reseed mount main hooks freeze console";

static void welcome(const struct frame *hello) {
  streams_reset();
  output_forget();
  uint8_t *payload = output_begin();
  memcpy(payload, hello->payload, NONCE);
  memcpy(payload + NONCE, FEATURES, sizeof FEATURES);
  output_frame(WELCOME, 0, NONCE + sizeof FEATURES);
  outcome_say();
}

static void pong(const struct frame *ping) {
  memcpy(output_begin(), ping->payload, ping->length);
  output_frame(PONG, 0, ping->length);
}

// While there is room for what may have to be answered.
static void understand(void) {
  struct frame frame;
  while (output_room() > MOST_PAYLOAD && input_next(&frame)) {
    if (frame.type == HELLO) welcome(&frame);
    else if (frame.type == PING) pong(&frame);
    else streams_frame(&frame);
  }
}

static void reap(void) {
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) streams_reaped(pid, status);
}

// What a signal says is seen anyhow: it only wakes.
static void forget_signals(int fd) {
  struct signalfd_siginfo signal;
  while (read(fd, &signal, sizeof signal) > 0) continue;
}

void session_serve(int fd) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  input_lost();
  // Whoever thinks that an agent of before is still here learns better.
  output_begin();
  output_frame(RESTARTED, 0, 0);
  // At once: a HELLO that has been waiting has all that was not said yet forgotten.
  bool there = output_write(fd);
  while (there) {
    static struct pollfd waiting[3 + 3 * MOST_STREAMS];
    bool room = output_room() > MOST_PAYLOAD;
    waiting[0] = (struct pollfd){fd, (short)((room ? POLLIN : 0) | (output_waits() ? POLLOUT : 0)), 0};
    waiting[1] = (struct pollfd){signals, POLLIN, 0};
    waiting[2] = (struct pollfd){outcome_fd(), POLLIN, 0};
    int count = streams_wait(waiting, 3);
    if (poll(waiting, (nfds_t)count, streams_soon() ? 10 : -1) < 0 && errno != EINTR) break;
    if (waiting[1].revents) forget_signals(signals);
    reap();
    if (waiting[0].revents & POLLIN) there = input_read(fd);
    else if (waiting[0].revents & (POLLHUP | POLLERR)) there = false;
    understand();
    if (outcome_read()) outcome_say();
    streams_move();
    if (there && output_waits()) there = output_write(fd);
  }
  streams_reset();
  output_forget();
  close(signals);
}
