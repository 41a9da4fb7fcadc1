#include "keeper.h"

#include <fcntl.h>

static bool open_words(struct words *words) {
  if (words->fd < 0) words->fd = open_to_write("stderr", O_APPEND);
  return words->fd >= 0;
}

void words_begin(struct words *words, size_t limit) {
  *words = (struct words){.left = limit, .fd = -1};
}

void words_take(struct words *words, const char *bytes, size_t length) {
  if (words->left == 0 || !open_words(words)) return;
  words->left -= write_some(words->fd, bytes, length < words->left ? length : words->left);
}
