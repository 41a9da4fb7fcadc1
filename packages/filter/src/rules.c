#include "filter.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WORD = 64, V4_AT = 96 };

#define PORT_LINE "port "

static const uint8_t MAPPED[12] = {[10] = 0xff, [11] = 0xff};

bool read_number(const char *text, unsigned most, unsigned *value) {
  char *end;
  if (*text < '0' || *text > '9') return false;
  unsigned long parsed = strtoul(text, &end, 10);
  *value = (unsigned)parsed;
  return *end == '\0' && parsed <= most;
}

static bool read_mac(const char *text, uint8_t mac[MAC_SIZE]) {
  unsigned parts[MAC_SIZE];
  char rest;
  int read = sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", parts, parts + 1, parts + 2, parts + 3, parts + 4, parts + 5, &rest);
  for (int at = 0; at < MAC_SIZE && read == MAC_SIZE; at++) mac[at] = (uint8_t)parts[at];
  return read == MAC_SIZE;
}

static bool read_network(char *text, struct rule *rule) {
  char *slash = strchr(text, '/');
  if (slash == NULL) return false;
  *slash = '\0';
  uint8_t *bytes = rule->peer.address.bytes;
  bool v4 = inet_pton(AF_INET, text, bytes + sizeof MAPPED) == 1;
  if (v4) memcpy(bytes, MAPPED, sizeof MAPPED);
  else if (inet_pton(AF_INET6, text, bytes) != 1) return false;
  unsigned prefix;
  if (!read_number(slash + 1, v4 ? 32 : 128, &prefix)) return false;
  rule->prefix = (uint8_t)(v4 ? prefix + V4_AT : prefix);
  return true;
}

static bool read_rule(struct rule *rule, bool open, char *network, const char *port) {
  unsigned number = 0;
  if (!read_network(network, rule) || (*port != '\0' && !read_number(port, PORTS - 1, &number))) return false;
  rule->peer.port = (uint16_t)number;
  rule->open = open;
  return true;
}

static bool read_port(const char *text, struct rules *rules) {
  struct port port;
  if (!port_read(text, &port) || !ports_begin(&port)) return false;
  if (port.kind == UDP) rules->published[port.guest / 8] |= (uint8_t)(1 << port.guest % 8);
  return true;
}

static bool read_line(const char *line, struct rules *rules, bool *mac) {
  if (strncmp(line, PORT_LINE, strlen(PORT_LINE)) == 0) return read_port(line + strlen(PORT_LINE), rules);
  char what[MOST_WORD] = "", first[MOST_WORD] = "", second[MOST_WORD] = "", more[2] = "";
  if (sscanf(line, "%63s %63s %63s %1s", what, first, second, more) < 2 || *more != '\0') return false;
  if (strcmp(what, "mac") == 0) return *mac = read_mac(first, rules->mac);
  bool open = strcmp(what, "open") == 0;
  if ((!open && strcmp(what, "closed") != 0) || rules->count == MOST_RULES) return false;
  return read_rule(&rules->all[rules->count++], open, first, second);
}

// The longest prefix first; of one length, those that open.
static int order(const void *one, const void *other) {
  const struct rule *a = one, *b = other;
  if (a->prefix != b->prefix) return b->prefix - a->prefix;
  return b->open - a->open;
}

bool rules_read(const char *text, struct rules *rules) {
  memset(rules, 0, sizeof *rules);
  bool mac = false;
  while (*text != '\0') {
    char line[4 * MOST_WORD];
    size_t length = strcspn(text, "\n");
    if (length >= sizeof line) return false;
    memcpy(line, text, length);
    line[length] = '\0';
    if (!read_line(line, rules, &mac)) return false;
    text += length + (text[length] == '\n');
  }
  qsort(rules->all, rules->count, sizeof *rules->all, order);
  return mac;
}

static bool same(const struct rule *one, const struct rule *other) {
  return order(one, other) == 0 && one->peer.port == other->peer.port &&
         memcmp(&one->peer.address, &other->peer.address, sizeof one->peer.address) == 0;
}

const char *rules_change(struct rules *rules, bool open, const char *text) {
  char network[MOST_WORD] = "", port[MOST_WORD] = "", more[2] = "";
  struct rule rule;
  if (sscanf(text, "%63s %63s %1s", network, port, more) < 1 || *more != '\0') return "no such request\n";
  if (!read_rule(&rule, true, network, port)) return "no such request\n";
  size_t at = 0;
  while (at < rules->count && order(&rules->all[at], &rule) < 0) at++;
  for (; at < rules->count && order(&rules->all[at], &rule) == 0; at++)
    if (same(&rules->all[at], &rule)) break;
  bool there = at < rules->count && same(&rules->all[at], &rule);
  struct rule *place = &rules->all[at];
  if (open && !there) {
    if (rules->count == MOST_RULES) return "full\n";
    memmove(place + 1, place, (rules->count++ - at) * sizeof *place);
    *place = rule;
  }
  if (!open && there) memmove(place, place + 1, (--rules->count - at) * sizeof *place);
  return "ok\n";
}

static bool within(const struct rule *rule, const struct peer *peer) {
  if (rule->peer.port != 0 && rule->peer.port != peer->port) return false;
  const uint8_t *network = rule->peer.address.bytes, *address = peer->address.bytes;
  size_t whole = rule->prefix / 8, bits = rule->prefix % 8;
  if (memcmp(network, address, whole) != 0) return false;
  return bits == 0 || (network[whole] ^ address[whole]) >> (8 - bits) == 0;
}

bool rules_open(const struct rules *rules, const struct peer *peer) {
  for (size_t at = 0; at < rules->count; at++)
    if (within(&rules->all[at], peer)) return rules->all[at].open;
  return false;
}

bool rules_published(const struct rules *rules, uint16_t port) {
  return (rules->published[port / 8] >> port % 8 & 1) != 0;
}
