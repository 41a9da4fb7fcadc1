#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"

enum { USUAL_SECONDS = 30, MOST_SECONDS = 60 };

// What of `text` comes after `name` and an equals sign; NULL if it is another one.
static char *value_of(char *text, const char *name) {
  size_t length = strlen(name);
  return strncmp(text, name, length) == 0 && text[length] == '=' ? text + length + 1 : NULL;
}

static bool number(const char *text, uint64_t most, uint64_t *value) {
  char *end;
  errno = 0;
  *value = strtoull(text, &end, 10);
  return *text >= '0' && *text <= '9' && *end == 0 && errno == 0 && *value <= most;
}

static const char *window(struct request *request, char *text) {
  char *by = strchr(text, 'x');
  uint64_t rows, columns;
  if (!by) return "a terminal is ROWSxCOLUMNS";
  *by = 0;
  if (!number(text, 65535, &rows) || !number(by + 1, 65535, &columns)) return "a terminal is ROWSxCOLUMNS";
  request->terminal = true;
  request->rows = (uint16_t)rows;
  request->columns = (uint16_t)columns;
  return NULL;
}

static int nibble(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

// In place: two digits are one byte.
static const char *hex(struct request *request, char *text) {
  uint8_t *bytes = (uint8_t *)text;
  size_t length = 0;
  for (; text[2 * length]; length++) {
    int high = nibble(text[2 * length]), low = high < 0 ? -1 : nibble(text[2 * length + 1]);
    if (low < 0) return "a seed is hexadecimal";
    bytes[length] = (uint8_t)(high << 4 | low);
  }
  request->seed = bytes;
  request->seeded = length;
  return NULL;
}

const char *request_read(struct request *request, char *texts, size_t length) {
  static char *arguments[MOST_TEXTS + 1], *environment[MOST_TEXTS + 1];
  size_t argument = 0;
  if (length == 0 || texts[length - 1] != 0) return "the request is no list of texts";
  *request = (struct request){.kind = texts, .arguments = arguments, .environment = environment, .seconds = USUAL_SECONDS};
  char *next;
  for (char *text = texts + strlen(texts) + 1; text < texts + length; text = next) {
    char *value;
    const char *fault = NULL;
    // Known before the text is cut.
    next = text + strlen(text) + 1;
    if ((value = value_of(text, "argument"))) {
      if (argument == MOST_TEXTS) return "too many arguments";
      arguments[argument++] = value;
    } else if ((value = value_of(text, "variable"))) {
      if (request->variables == MOST_TEXTS) return "too many variables";
      if (*value == '=' || !strchr(value, '=')) return "a variable is NAME=VALUE";
      environment[request->variables++] = value;
    } else if ((value = value_of(text, "user"))) request->user = value;
    else if ((value = value_of(text, "directory"))) request->directory = value;
    else if ((value = value_of(text, "tag"))) request->tag = value;
    else if ((value = value_of(text, "event"))) request->event = value;
    else if ((value = value_of(text, "name"))) request->name = value;
    else if ((value = value_of(text, "path"))) {
      request->path = value;
      if (*value != '/') return "a path begins with a slash";
    } else if ((value = value_of(text, "terminal"))) fault = window(request, value);
    else if ((value = value_of(text, "seed"))) fault = hex(request, value);
    else if ((value = value_of(text, "time"))) fault = number(value, UINT64_MAX, &request->time) ? NULL : "a time is a number";
    else if ((value = value_of(text, "seconds")))
      fault = number(value, MOST_SECONDS, &request->seconds) ? NULL : "a freeze lasts for up to 60 seconds";
    else if (strcmp(text, "input") == 0) request->input = true;
    else if (strcmp(text, "rename") == 0) request->rename = true;
    else if (strcmp(text, "readonly") == 0) request->read_only = true;
    else if (strcmp(text, "virtiofs") == 0) request->virtiofs = true;
    else if (strcmp(text, "main") == 0) request->main = true;
    else if (strcmp(text, "settled") == 0) request->settled = true;
    else return "something is asked for that is not known here";
    if (fault) return fault;
  }
  arguments[argument] = NULL;
  return NULL;
}
