#include "filter.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { MOST_WORD = 64 };

static struct port started[MOST_PORTS], added[MOST_PORTS];

bool port_read(const char *text, struct port *port) {
  char kind[MOST_WORD] = "", address[MOST_WORD] = "", host[MOST_WORD] = "", guest[MOST_WORD] = "", more[2] = "";
  if (sscanf(text, "%63s %63s %63s %63s %1s", kind, address, host, guest, more) != 4) return false;
  struct address bytes;
  unsigned from, to;
  port->v6 = inet_pton(AF_INET6, address, &bytes) == 1;
  if (!port->v6 && inet_pton(AF_INET, address, &bytes) != 1) return false;
  if (!read_number(host, PORTS - 1, &from) || !read_number(guest, PORTS - 1, &to) || from == 0 || to == 0) return false;
  port->kind = strcmp(kind, "tcp") == 0 ? TCP : strcmp(kind, "udp") == 0 ? UDP : OTHER;
  port->guest = (uint16_t)to;
  port->held = false;
  int length = snprintf(port->text, sizeof port->text, "%s %s %u %u", kind, address, from, to);
  return port->kind != OTHER && length > 0 && (size_t)length < sizeof port->text;
}

static struct port *place(struct port ports[MOST_PORTS], const char *text) {
  for (struct port *port = ports; port < ports + MOST_PORTS; port++)
    if (strcmp(port->text, text) == 0) return port;
  return NULL;
}

bool ports_begin(const struct port *port) {
  struct port *to = place(started, "");
  if (to != NULL) *to = *port;
  return to != NULL;
}

int ports_add(const struct port *port) {
  struct port *to = place(added, "");
  if (to == NULL) return DROPPED;
  *to = *port;
  return 1 + (int)(to - added);
}

void ports_remove(int outside) {
  added[outside - 1].text[0] = '\0';
}

const struct port *ports_at(int outside) {
  const struct port *port = &added[outside - 1];
  return *port->text == '\0' ? NULL : port;
}

int ports_find(const struct port *port, struct port **first) {
  struct port *found = place(added, port->text);
  if (found != NULL) return 1 + (int)(found - added);
  *first = place(started, port->text);
  return *first != NULL ? FIRST : GONE;
}

static bool alike(const struct port *one, enum kind kind, bool v6, uint16_t guest) {
  return *one->text != '\0' && one->kind == kind && one->v6 == v6 && one->guest == guest;
}

bool ports_shared(const struct port *first) {
  for (struct port *port = started; port < started + MOST_PORTS; port++)
    if (port != first && !port->held && alike(port, first->kind, first->v6, first->guest)) return true;
  return false;
}

bool ports_held(const struct packet *packet) {
  bool held = false;
  for (struct port *port = started; port < started + MOST_PORTS && *port->text != '\0'; port++) {
    if (!alike(port, packet->kind, packet->v6, packet->destination.port)) continue;
    if (!port->held) return false;
    held = true;
  }
  return held;
}

size_t ports_list(char text[MOST_LIST]) {
  size_t length = 0;
  for (int at = 0; at < 2 * MOST_PORTS; at++) {
    const struct port *port = at < MOST_PORTS ? &started[at] : &added[at - MOST_PORTS];
    const char *how = at >= MOST_PORTS ? "added" : port->held ? "held" : "open";
    if (*port->text != '\0') length += (size_t)sprintf(text + length, "%s %s\n", how, port->text);
  }
  return length;
}
