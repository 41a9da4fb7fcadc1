// The agent inside a machine: spec/agent.md says what it speaks, docs/design/0046-agent.md how it gets there.
#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PORT_NAME "org.ovms.agent.0"
// Where the image's own first program is, for the one that stands in its place.
#define REAL_INIT "/.ovm-init"

enum { VSOCK_PORT = 20310 };
enum { HEADER = 16, MOST_PAYLOAD = 65536, NONCE = 16, MOST_STREAMS = 256 };
// Bytes that may be under way on a stream's channel, each way, before they were granted.
enum { INPUT_WINDOW = 65536, OUTPUT_WINDOW = 262144 };

enum type {
  PADDING = 0,
  HELLO = 1,
  WELCOME = 2,
  PING = 3,
  PONG = 4,
  OPEN = 5,
  DATA = 6,
  END = 7,
  CREDIT = 8,
  SIGNAL = 9,
  WINDOW = 10,
  CLOSE = 11,
  EXIT = 12,
  RESTARTED = 13,
  OUTCOME = 14,
};
enum channel { INPUT = 0, OUTPUT = 1, ERRORS = 2 };
// How a stream has ended: by a status, by a signal, or never begun.
enum ending { EXITED = 0, SIGNALLED = 1, REFUSED = 2 };

struct frame {
  uint8_t type;
  uint32_t stream;
  uint32_t length;
  const uint8_t *payload;
};

// crc.c: as of zip and Ethernet. `crc` is that of what came before, 0 at first.
uint32_t crc32(uint32_t crc, const uint8_t *bytes, size_t length);

// bytes.c: numbers, the lowest byte first.
uint16_t get16(const uint8_t *bytes);
uint32_t get32(const uint8_t *bytes);
uint64_t get64(const uint8_t *bytes);
void put32(uint8_t *bytes, uint32_t value);

// output.c: what goes to the host. Frames are put into one buffer, which is written as the host takes it.
uint8_t *output_begin(void);                                     // where the payload of the next frame goes
void output_frame(enum type type, uint32_t stream, size_t length); // makes a frame of what was put there
size_t output_room(void);                                        // bytes of payload that would still fit
bool output_waits(void);
bool output_write(int fd); // false if the channel is gone
void output_forget(void);

// input.c: what comes from the host. `input_next` is false if there is no whole frame.
bool input_read(int fd); // false if the channel is gone
bool input_next(struct frame *frame);
void input_lost(void); // nothing but a HELLO is understood from now on

// places.c: the guest's proc, sys, dev and terminals, also where nothing is mounted yet.
struct places {
  int proc, sys, dev, pts;
  bool here; // commands have our own root, whatever the first program's is
};
extern struct places places;
void places_open(void);
// What a file in proc says, and a zero behind it; empty if it says nothing.
void read_proc(const char *name, char *text, size_t size);
// In the guest's first program, before it is that: from file systems that are mounted for a moment.
void places_make(void);

// port.c: the channel to the host; -1 while there is none.
int port_open(void);

// vsock.c: one that listens, and the next stream of the host's; -1 where there is none.
int vsock_listen(void);
int vsock_accept(int listening);

// request.c: what an OPEN asks for. The texts are those of the frame.
enum { MOST_TEXTS = 4096 };
struct request {
  const char *kind;
  char **arguments; // ends with NULL
  char **environment;
  size_t variables;
  const char *user, *directory;
  char *path; // begins with a slash
  const char *tag; // of a device
  bool input, terminal, rename, read_only, virtiofs, settled, main;
  uint16_t rows, columns;
  uint64_t time; // ns since 1970
  uint64_t seconds; // that a freeze lasts at most
  const char *event, *name; // of hooks: what happens, and the machine's name
  const uint8_t *seed;
  size_t seeded; // bytes of it
};
// Why it cannot be understood; NULL if it can. `texts` holds `length` bytes, and is cut into strings.
const char *request_read(struct request *request, char *texts, size_t length);

// spawn.c: a child that does what was asked for.
struct child {
  pid_t pid;
  int in, out, err; // our ends, not waiting; -1 for what there is not. Of a terminal `in` and `out` are one.
};
// False, with errno set, if there is no child.
bool spawn(const struct request *request, struct child *child);

// exec.c: in the child. Never returns.
_Noreturn void exec_command(const struct request *request);
// shutdown.c, files-read.c, files-write.c: in the child, too.
_Noreturn void shut_down(void);
// power.c: whether the guest's kernel can power off; where it cannot, a reset ends the machine.
bool can_power_off(void);
// first-program.c: whether the guest's first program listens to what would have it power the guest off.
bool first_is_init(void);
_Noreturn void files_read(const struct request *request);
_Noreturn void files_write(const struct request *request);
// mount.c: in the child, too.
_Noreturn void mount_share(const struct request *request);
// Until the first program has another root than that of an initramfs.
void wait_for_root(void);
// Whether it has, or is not going to; if not, the child waits for that.
bool root_is_settled(void);
_Noreturn void root_left(void);
_Noreturn void hooks_run(const struct request *request);
_Noreturn void freeze_hold(const struct request *request);
// hooks.c: whether the guest has something to be run at all.
bool hooks_any(void);
// renew.c: makes new what the guest's author asked for; false if something of it failed, which is said.
bool renew(const char *name);
// outcome.c: how what the machine is for has ended.
void outcome_expect(void);     // before it is begun
void outcome_is(int result);   // 0 to 127; in the process that saw it end
int outcome_fd(void);          // to be read from once there is something; -1 while nothing is expected
bool outcome_read(void);       // true once, when it has come
void outcome_say(void);        // to the host, if it is known
// main-command.c: in the child, too: begins it, and leaves it to itself.
_Noreturn void main_command(const struct request *request);
// In a process of its own: until the command has ended, and then the machine.
_Noreturn void main_see_through(const struct request *request);
// enter.c: into the guest's root, wherever that is by now. False with errno set.
bool enter_root(void);
// The same, for what executes no other program: with nothing open but input, output and errors.
bool enter_alone(void);

// init.c: in the place of the first program, in the root of what was a container image.
bool is_container(void);
_Noreturn void init_run(void);
// lease.c: in a process of its own: the network's address, for as long as there is one.
_Noreturn void lease_keep(void);

// clock.c: 0, or errno.
int clock_set(uint64_t ns);
int pool_reseed(const uint8_t *seed, size_t length);

// console.c: 0, or errno.
int console_resize(uint16_t rows, uint16_t columns);

// stream.c
void streams_frame(const struct frame *frame); // OPEN and what belongs to a stream
void streams_reset(void);                      // all of them are over, and what runs is killed
void streams_reaped(pid_t pid, int status);
int streams_wait(void *pollfds, int count);    // adds what is to be waited for; how many there are then
bool streams_soon(void);                       // true if one is to be looked at again in a moment
void streams_move(void);                       // as much as can be without waiting

// session.c: does what the host says, until that has gone.
void session_serve(int fd);

#endif
