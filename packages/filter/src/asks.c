#include "filter.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST_LINE = 5 + PORT_TEXT, BACKLOG = 128 };

struct ask {
  bool watches;
  int socket; // 0: there is none
  uint32_t since;
  size_t length;
  char line[MOST_LINE + 1];
};
static struct ask asks[MOST_ASKS];
static int listener = -1;
static uint32_t turn;

bool asks_open(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = FILTER_SOCKET};
  if (unlink(FILTER_SOCKET) < 0 && errno != ENOENT) return false;
  mode_t mask = umask(0177);
  listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  bool open = listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, BACKLOG) == 0;
  umask(mask);
  return open;
}

static void end(struct ask *ask) {
  if (ask->socket != 0) close(ask->socket);
  ask->socket = 0;
}

// A new socket takes more than that at once.
static void answer(struct ask *ask, const char *text) {
  if (write(ask->socket, text, strlen(text)) < 0) return;
}

static void answer_list(struct ask *ask) {
  static char text[MOST_LIST + 4];
  memcpy(text + ports_list(text), "ok\n", 4);
  answer(ask, text);
}

static const char *drop(const struct port *port) {
  struct port *first;
  int outside = ports_find(port, &first);
  if (outside == GONE || (outside == FIRST && first->held)) return "unknown\n";
  if (outside != FIRST) {
    outside_remove(outside);
    return "ok\n";
  }
  if (ports_shared(first)) return "shared\n";
  first->held = true;
  return "held\nok\n";
}

static const char *add(struct ask *ask, const struct port *port, const uint8_t mac[MAC_SIZE]) {
  struct port *first;
  int outside = ports_find(port, &first);
  if (outside == FIRST && first->held) {
    first->held = false;
    return "held\nok\n";
  }
  if (outside != GONE) return "twice\n";
  if (!outside_add(port, ask->socket, mac)) return "full\n";
  // Before there is anything else to be written to it.
  answer(ask, "ok\n");
  ask->socket = 0;
  return "";
}

static void decide(struct ask *ask, struct rules *rules) {
  struct port port;
  if (strcmp(ask->line, "watch") == 0) {
    ask->watches = true;
    return answer(ask, "ok\n");
  }
  if (strcmp(ask->line, "list") == 0) answer_list(ask);
  else if (strncmp(ask->line, "add ", 4) == 0 && port_read(ask->line + 4, &port)) answer(ask, add(ask, &port, rules->mac));
  else if (strncmp(ask->line, "drop ", 5) == 0 && port_read(ask->line + 5, &port)) answer(ask, drop(&port));
  else if (strncmp(ask->line, "allow ", 6) == 0) answer(ask, rules_change(rules, true, ask->line + 6));
  else if (strncmp(ask->line, "refuse ", 7) == 0) answer(ask, rules_change(rules, false, ask->line + 7));
  else answer(ask, "no such request\n");
  end(ask);
}

// One line is all that it has to say.
static void hear(struct ask *ask, struct rules *rules) {
  ssize_t got = read(ask->socket, ask->line + ask->length, MOST_LINE - ask->length);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0 || ask->watches) return end(ask);
  ask->length += (size_t)got;
  ask->line[ask->length] = '\0';
  char *newline = strchr(ask->line, '\n');
  if (newline != NULL && newline == ask->line + ask->length - 1) {
    *newline = '\0';
    decide(ask, rules);
  } else if (newline != NULL || ask->length == MOST_LINE || memchr(ask->line, '\0', ask->length) != NULL) end(ask);
}

// The oldest one makes room.
static bool admit(void) {
  int socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (socket < 0) return false;
  struct ask *to = asks;
  for (struct ask *ask = asks; ask < asks + MOST_ASKS && to->socket != 0; ask++)
    if (ask->socket == 0 || ask->since < to->since) to = ask;
  end(to);
  *to = (struct ask){.socket = socket, .since = ++turn};
  return true;
}

size_t asks_wait(struct pollfd polls[1 + MOST_ASKS]) {
  size_t count = 0;
  polls[count++] = (struct pollfd){.fd = listener, .events = POLLIN};
  for (struct ask *ask = asks; ask < asks + MOST_ASKS; ask++)
    if (ask->socket != 0) polls[count++] = (struct pollfd){.fd = ask->socket, .events = POLLIN};
  return count;
}

void asks_look(const struct pollfd polls[1 + MOST_ASKS], size_t count, struct rules *rules) {
  for (size_t at = 1; at < count; at++) {
    if (polls[at].revents == 0) continue;
    for (struct ask *ask = asks; ask < asks + MOST_ASKS; ask++)
      if (ask->socket == polls[at].fd) hear(ask, rules);
  }
  if (polls[0].revents == 0) return;
  for (int at = 0; at < MOST_ASKS && admit(); at++) continue;
}

void asks_changed(void) {
  for (struct ask *ask = asks; ask < asks + MOST_ASKS; ask++)
    if (ask->watches) end(ask);
}
