// The keeper of one machine: docs/design/0034-keeper.md says which files it leaves and how it is started.
#ifndef KEEPER_H
#define KEEPER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // pipe2, ppoll, execvp and the like
#endif

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Descriptors that it is started with, beside 0, 1 and 2; those from GIVEN_FD on may be missing.
enum { REQUEST_FD = 3, PROGRAM_FD = 4, HELD_FD = 5, GIVEN_FD = 6, GIVEN_END = 24 };

// The name in `ps`, by which others know it too (packages/ovm/src/vmm/process/stray.ts).
#define KEEPER_NAME "ovm-keeper"

// request.c: what it was asked to do. The texts are those of the mapped request and last as long as the process.
struct request {
  size_t segment;        // bytes a segment of the console, at least 1
  size_t start;          // where that begins which is written to first: what is in it stays
  size_t words;          // bytes that are kept of standard error
  const char *namespace; // the PID namespace's name for the note, may be empty
  const char *session;   // the session's nice value, may be empty: the kernel has none
  const char *nice;      // the processes' nice value
  const char *groups;    // paths of the control groups that the VMM is to be in, a line each, may be empty
  char **argv;           // the VMM's, ends with NULL
};
// False if descriptor `fd` holds no such request.
bool request_read(int fd, struct request *request);

// times.c: `times.OFFSET` beside each segment of the console: when which byte of it came.
struct times {
  int fd;        // -1 if it could not be opened
  size_t length; // bytes in it
  int64_t last;  // the time in the last note, in ms since 1970
};
void times_begin(struct times *times, size_t start);
void times_end(struct times *times);
void times_remove(size_t start);
// Byte `at` of the whole stream comes now, as the byte `size` of its segment. Not every one is noted.
void times_note(struct times *times, size_t at, size_t size);

// console.c: the segments `console.OFFSET`, of which the last two are kept.
struct console {
  size_t segment; // bytes a segment
  size_t start;   // where the current one begins in the whole stream, in bytes
  size_t before;  // where the one before begins; as `start` if there is none
  size_t size;    // bytes in it
  int fd;         // -1 while it could not be opened
  struct times times;
};
void console_begin(struct console *console, size_t segment, size_t start);
// Takes all of it, or drops what there is no room for. Never waits for anything but the disk.
void console_take(struct console *console, const char *bytes, size_t length);

// words.c: `stderr`, the first bytes of what comes.
struct words {
  size_t left; // bytes that may still be kept
  int fd;      // -1 while it could not be opened
};
void words_begin(struct words *words, size_t limit);
void words_take(struct words *words, const char *bytes, size_t length);

// status.c: `exit`, whose room is set aside before there is a status.
int status_reserve(void);
// Writes it over the room (`fd`, which may be -1) and renames it into place.
void status_leave(int fd, int status, bool exited);

// group.c: control groups of the host's (cgroups(7)), which bound the VMM and are nobody else's: paths, a line each.
// Puts this process into all of them; false with errno set.
bool groups_join(const char *groups);
// Removes those that nobody is in any more.
void groups_remove(const char *groups);

// vmm.c
struct pipes {
  int in;       // what the VMM reads, to be written without waiting
  int out, err; // what it writes, to be read without waiting
};
// Pid of the VMM; -1 with errno set if it could not be started.
pid_t vmm_start(const struct request *request, struct pipes *pipes);
// As a shell says it: 128 + N for one that was killed by signal N.
int vmm_status(int wait_status);

// keyboard.c: `console.sock`, through which one at a time types into the VMM's standard input.
enum { KEYBOARD_FDS = 3, TYPED = 4096 };
struct keyboard {
  int listener, writer, refused, input; // -1 for what there is not; `refused` got an answer and is to be closed
  size_t at, length;                    // of `bytes`: what was typed and the VMM has not taken
  char bytes[TYPED];
};
// Where no socket can be had, nobody types. `input` is set once there is one.
void keyboard_begin(struct keyboard *keyboard);
// What is to be waited for.
void keyboard_wait(const struct keyboard *keyboard, struct pollfd waiting[KEYBOARD_FDS]);
// Does what `waiting` has come to. Never waits.
void keyboard_serve(struct keyboard *keyboard, const struct pollfd waiting[KEYBOARD_FDS]);

// io.c
// As write(2), and goes on after a part of it: how many bytes were written, fewer only if the rest could not be.
size_t write_some(int fd, const char *bytes, size_t length);
// Makes the file if need be, and opens it with `flags` of open(2) beside; -1 with errno set.
int open_to_write(const char *name, int flags);

#endif
