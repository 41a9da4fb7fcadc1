#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

enum {
  MOST_PIECE = 32768,
  RESERVE = 32768,  // of the output: room for what is not data
  SETTLE_MS = 100,  // how long a terminal may take to bring the last words of one that has ended
};

struct stream {
  uint32_t id;
  bool holds;  // it has something to take back at its end: its input ends, and it is not killed
  bool wanted; // false of what a host of before asked for
  bool ended;
  int status;          // as of waitpid(2)
  int64_t ended_at;    // ms
  struct child child;  // pid 0: the slot is free
  uint32_t credit;     // bytes that the host will take
  uint32_t owed;       // bytes of input that are to be granted anew
  bool last;           // no more input comes
  size_t at, length;   // of `held`: input that was not taken yet
  uint8_t *held;       // INPUT_WINDOW bytes
};

static struct stream streams[MOST_STREAMS];

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static struct stream *find(uint32_t id) {
  for (int i = 0; i < MOST_STREAMS; i++)
    if (streams[i].child.pid != 0 && streams[i].wanted && streams[i].id == id) return &streams[i];
  return NULL;
}

static void tell_exit(uint32_t id, enum ending ending, uint32_t value, const char *words) {
  uint8_t *payload = output_begin();
  size_t length = strlen(words);
  put32(payload, ending);
  put32(payload + 4, value);
  memcpy(payload + 8, words, length);
  output_frame(EXIT, id, 8 + length);
}

static void close_input(struct stream *stream) {
  struct child *child = &stream->child;
  if (child->in >= 0 && child->in != child->out) close(child->in);
  child->in = -1;
}

static void close_output(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void let_go(struct stream *stream) {
  close_input(stream);
  close_output(&stream->child.out);
  close_output(&stream->child.err);
  free(stream->held);
  stream->held = NULL;
}

// All that belongs to it: it leads a session of its own, unless it has not come so far.
static void send_signal(struct stream *stream, int number) {
  if (stream->holds) return close_input(stream);
  if (stream->ended) return;
  if (kill(-stream->child.pid, number) != 0) kill(stream->child.pid, number);
}

static void begin(uint32_t id, const struct request *request, bool holds) {
  struct stream *stream = NULL;
  for (int i = 0; i < MOST_STREAMS && !stream; i++)
    if (streams[i].child.pid == 0) stream = &streams[i];
  if (!stream) return tell_exit(id, REFUSED, EAGAIN, "too much runs at once");
  struct stream fresh = {.id = id, .wanted = true, .credit = OUTPUT_WINDOW, .holds = holds};
  fresh.held = request->input || request->terminal ? malloc(INPUT_WINDOW) : NULL;
  if ((request->input && !fresh.held) || !spawn(request, &fresh.child)) {
    free(fresh.held);
    return tell_exit(id, REFUSED, (uint32_t)errno, strerror(errno));
  }
  *stream = fresh;
}

static void open_stream(const struct frame *frame) {
  static char texts[MOST_PAYLOAD];
  struct request request;
  memcpy(texts, frame->payload, frame->length);
  const char *fault = request_read(&request, texts, frame->length);
  if (!fault && find(frame->stream)) fault = "the stream is open already";
  if (fault) return tell_exit(frame->stream, REFUSED, EINVAL, fault);
  int error = -1;
  if (strcmp(request.kind, "time") == 0) error = clock_set(request.time);
  else if (strcmp(request.kind, "reseed") == 0) error = pool_reseed(request.seed, request.seeded);
  else if (strcmp(request.kind, "console") == 0 && request.terminal && !places.here)
    error = console_resize(request.rows, request.columns);
  if (error == 0) return tell_exit(frame->stream, EXITED, 0, "");
  if (error > 0) return tell_exit(frame->stream, REFUSED, (uint32_t)error, strerror(error));
  bool write = strcmp(request.kind, "write") == 0, files = write || strcmp(request.kind, "read") == 0;
  bool command = strcmp(request.kind, "exec") == 0;
  // One that does not serve a guest is not to end, or to change, whatever machine it runs on.
  bool shutdown = strcmp(request.kind, "shutdown") == 0 && !places.here;
  bool mount = strcmp(request.kind, "mount") == 0 && !places.here;
  bool root = strcmp(request.kind, "root") == 0 && !places.here;
  bool hooks = strcmp(request.kind, "hooks") == 0 && !places.here && request.event;
  bool freeze = strcmp(request.kind, "freeze") == 0 && !places.here;
  if (!files && !command && !shutdown && !mount && !root && !hooks && !freeze)
    return tell_exit(frame->stream, REFUSED, ENOSYS, "this agent cannot do that");
  if (root && root_is_settled()) return tell_exit(frame->stream, EXITED, 0, "");
  if (hooks && !hooks_any()) return tell_exit(frame->stream, EXITED, 0, "");
  if (mount && !request.tag) return tell_exit(frame->stream, REFUSED, EINVAL, "there is no tag");
  if ((files || mount) && !request.path) return tell_exit(frame->stream, REFUSED, EINVAL, "there is no path");
  if (!command) request.input = write || freeze, request.terminal = request.main = false;
  else if (!request.arguments[0]) return tell_exit(frame->stream, REFUSED, EINVAL, "there is no command");
  if (request.main && places.here) return tell_exit(frame->stream, REFUSED, ENOSYS, "no machine is this agent's to end");
  static bool begun;
  if (request.main && begun) return tell_exit(frame->stream, EXITED, 0, "");
  if (request.main) begun = true, request.input = request.terminal = false, outcome_expect();
  begin(frame->stream, &request, freeze);
}

static void take_input(struct stream *stream, const uint8_t *bytes, size_t length) {
  if (!stream->held || stream->child.in < 0) return;
  if (stream->at > 0) memmove(stream->held, stream->held + stream->at, stream->length - stream->at);
  stream->length -= stream->at;
  stream->at = 0;
  // A host that sends more than it was granted: what is too much is dropped.
  if (length > INPUT_WINDOW - stream->length) length = INPUT_WINDOW - stream->length;
  memcpy(stream->held + stream->length, bytes, length);
  stream->length += length;
}

void streams_frame(const struct frame *frame) {
  const uint8_t *payload = frame->payload;
  size_t length = frame->length;
  if (frame->type == OPEN) return open_stream(frame);
  struct stream *stream = find(frame->stream);
  // It has ended, and the host does not know yet.
  if (!stream) return;
  if (frame->type == DATA) take_input(stream, payload, length);
  if (frame->type == END) stream->last = true;
  if (frame->type == CREDIT && length >= 4) {
    uint32_t more = get32(payload);
    stream->credit = more > UINT32_MAX - stream->credit ? UINT32_MAX : stream->credit + more;
  }
  if (frame->type == SIGNAL && length >= 4 && get32(payload) <= 64) send_signal(stream, (int)get32(payload));
  if (frame->type == CLOSE) send_signal(stream, SIGKILL);
  if (frame->type == WINDOW && length >= 4) {
    struct winsize size = {.ws_row = get16(payload), .ws_col = get16(payload + 2)};
    if (stream->child.out >= 0) ioctl(stream->child.out, TIOCSWINSZ, &size);
  }
}

void streams_reset(void) {
  for (int i = 0; i < MOST_STREAMS; i++) {
    struct stream *stream = &streams[i];
    if (stream->child.pid == 0) continue;
    send_signal(stream, SIGKILL);
    let_go(stream);
    stream->wanted = false;
    if (stream->ended) stream->child.pid = 0;
  }
}

void streams_reaped(pid_t pid, int status) {
  for (int i = 0; i < MOST_STREAMS; i++) {
    struct stream *stream = &streams[i];
    if (stream->child.pid != pid || stream->ended) continue;
    stream->ended = true;
    stream->status = status;
    stream->ended_at = now();
    if (!stream->wanted) stream->child.pid = 0;
  }
}

static bool may_read(const struct stream *stream) { return stream->credit > 0 && output_room() > RESERVE; }

int streams_wait(void *pollfds, int count) {
  struct pollfd *waiting = pollfds;
  for (int i = 0; i < MOST_STREAMS; i++) {
    const struct stream *stream = &streams[i];
    const struct child *child = &stream->child;
    if (child->pid == 0 || !stream->wanted) continue;
    if (child->in >= 0 && stream->at < stream->length) waiting[count++] = (struct pollfd){child->in, POLLOUT, 0};
    if (!may_read(stream)) continue;
    if (child->out >= 0) waiting[count++] = (struct pollfd){child->out, POLLIN, 0};
    if (child->err >= 0) waiting[count++] = (struct pollfd){child->err, POLLIN, 0};
  }
  return count;
}

// One that waits for credit is not.
bool streams_soon(void) {
  for (int i = 0; i < MOST_STREAMS; i++)
    if (streams[i].child.pid != 0 && streams[i].wanted && streams[i].ended && may_read(&streams[i])) return true;
  return false;
}

static void move_input(struct stream *stream) {
  struct child *child = &stream->child;
  while (child->in >= 0 && stream->at < stream->length) {
    ssize_t written = write(child->in, stream->held + stream->at, stream->length - stream->at);
    if (written < 0 && errno == EAGAIN) return;
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return close_input(stream);
    stream->at += (size_t)written;
    stream->owed += (uint32_t)written;
  }
  // A terminal's input has no end of its own: that of a command without one has.
  if (stream->last && child->in != child->out) close_input(stream);
}

// What is there of one channel. One that has ended has no more than is there now.
static void move_output(struct stream *stream, int *fd, enum channel channel) {
  while (*fd >= 0 && may_read(stream)) {
    uint8_t *payload = output_begin();
    size_t most = output_room() - RESERVE - 1;
    if (most > MOST_PIECE) most = MOST_PIECE;
    if (most > stream->credit) most = stream->credit;
    ssize_t count = read(*fd, payload + 1, most);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {
      bool terminal = stream->child.err < 0 && channel == OUTPUT && stream->child.in == *fd;
      if (stream->ended && (!terminal || now() - stream->ended_at > SETTLE_MS)) break;
      return;
    }
    if (count <= 0) break;
    payload[0] = (uint8_t)channel;
    output_frame(DATA, stream->id, 1 + (size_t)count);
    stream->credit -= (uint32_t)count;
    // The others' turn.
    return;
  }
  if (*fd < 0 || !may_read(stream)) return;
  if (stream->child.in == *fd) stream->child.in = -1;
  close_output(fd);
}

static void finish(struct stream *stream) {
  const struct child *child = &stream->child;
  if (!stream->ended || child->out >= 0 || child->err >= 0) return;
  bool signalled = WIFSIGNALED(stream->status);
  int value = signalled ? WTERMSIG(stream->status) : WEXITSTATUS(stream->status);
  let_go(stream);
  tell_exit(stream->id, signalled ? SIGNALLED : EXITED, (uint32_t)value, "");
  stream->child.pid = 0;
}

void streams_move(void) {
  static int first;
  for (int i = 0; i < MOST_STREAMS; i++) {
    struct stream *stream = &streams[(first + i) % MOST_STREAMS];
    if (stream->child.pid == 0 || !stream->wanted || output_room() < 256) continue;
    move_input(stream);
    if (stream->owed > INPUT_WINDOW / 2 || (stream->owed > 0 && stream->at == stream->length)) {
      put32(output_begin(), stream->owed);
      output_frame(CREDIT, stream->id, 4);
      stream->owed = 0;
    }
    move_output(stream, &stream->child.out, OUTPUT);
    move_output(stream, &stream->child.err, ERRORS);
    if (output_room() >= 256) finish(stream);
  }
  first++;
}
