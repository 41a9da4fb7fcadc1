#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void close_at(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

#define UNFINISHED "console.sock.tmp"

// Whoever sees it can connect: between bind(2) and listen(2) it would be refused.
void keyboard_begin(struct keyboard *keyboard) {
  *keyboard = (struct keyboard){.listener = -1, .writer = -1, .refused = -1, .input = -1};
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = UNFINISHED};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  mode_t before = umask(0177);
  bool bound = bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 8) == 0 &&
               rename(UNFINISHED, "console.sock") == 0;
  umask(before);
  if (bound) keyboard->listener = fd;
  else close(fd);
}

void keyboard_wait(const struct keyboard *keyboard, struct pollfd waiting[KEYBOARD_FDS]) {
  bool full = keyboard->length > 0;
  waiting[0] = (struct pollfd){.fd = keyboard->listener, .events = POLLIN};
  waiting[1] = (struct pollfd){.fd = keyboard->writer, .events = full ? 0 : POLLIN};
  // One whose other end is closed would be reported for ever.
  waiting[2] = (struct pollfd){.fd = full ? keyboard->input : -1, .events = POLLOUT};
}

static void let_writer_go(struct keyboard *keyboard) {
  close_at(&keyboard->writer);
  keyboard->length = 0;
}

// True if the VMM has room for more.
static bool pass_on(struct keyboard *keyboard) {
  while (keyboard->length > 0) {
    if (keyboard->input < 0) {
      keyboard->length = 0;
      return true;
    }
    ssize_t written = write(keyboard->input, keyboard->bytes + keyboard->at, keyboard->length);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) return false;
    // It does not listen any more: what is typed goes nowhere.
    if (written < 0) close_at(&keyboard->input);
    else {
      keyboard->at += (size_t)written;
      keyboard->length -= (size_t)written;
    }
  }
  return true;
}

static void type(struct keyboard *keyboard) {
  while (pass_on(keyboard)) {
    ssize_t length = read(keyboard->writer, keyboard->bytes, sizeof keyboard->bytes);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0 && errno == EAGAIN) return;
    if (length <= 0) return let_writer_go(keyboard);
    keyboard->at = 0;
    keyboard->length = (size_t)length;
  }
}

static void greet(struct keyboard *keyboard) {
  static const char WELCOME[] = "ok\n", REFUSAL[] = "busy\n";
  int fd = accept4(keyboard->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    // Without descriptors it would be asked again at once, for ever.
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) close_at(&keyboard->listener);
    return;
  }
  if (keyboard->writer < 0) {
    write_some(fd, WELCOME, sizeof WELCOME - 1);
    keyboard->writer = fd;
  } else {
    write_some(fd, REFUSAL, sizeof REFUSAL - 1);
    // Closed with the next one: there are those that do not get to read a word of what is closed already.
    close_at(&keyboard->refused);
    keyboard->refused = fd;
  }
}

void keyboard_serve(struct keyboard *keyboard, const struct pollfd waiting[KEYBOARD_FDS]) {
  if (keyboard->writer >= 0 && (waiting[1].revents != 0 || waiting[2].revents != 0)) type(keyboard);
  // One that has gone keeps nobody from it, even if the VMM has not taken what it typed.
  if (keyboard->writer >= 0 && (waiting[1].revents & (POLLHUP | POLLERR)) != 0) let_writer_go(keyboard);
  if (waiting[0].revents != 0) greet(keyboard);
}
