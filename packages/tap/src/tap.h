// The network of a VMM that knows interfaces of its host alone: docs/design/0091-networks-of-firecracker.md.
#ifndef TAP_H
#define TAP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE // unshare and the like
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TAP_NAME "ovm-tap"
// What the VMM finds its interface by.
#define INTERFACE "net0"

// Descriptors that it is started with, beside 0, 1 and 2: what the VMM holds as long as it lives; frames, each behind its
// length in four bytes; and the program.
enum { HELD_FD = 5, LINK_FD = 6, PROGRAM_FD = 8 };

// space.c: a network of its own, and where that takes it users of its own, in which this one is itself.
bool space_enter(void);

// device.c: makes the interface, which is there as long as the namespace is.
bool device_make(void);
// What passes it, as a socket; negative if it cannot be had.
int device_open(void);

// frame.c: what comes of the interface, in `bytes`.
enum { LENGTH = 4, MOST_FRAME = 4096 + 65536 };
// Gives the length of a frame; 0 of what is none to pass on, negative where there is none to come (errno).
ssize_t frame_take(int device, uint8_t bytes[MOST_FRAME]);
// One that has no room is lost, as frames may be.
void frame_give(int device, const uint8_t *frame, size_t length);

// plug.c: a socket in the folder that it is started in. Whoever connects plugs the link in. Negative if it cannot be made.
int plug_make(void);

// pump.c: frames on their way between the interface and the link.
struct leaving {
  size_t begin, end; // of `bytes`: what is not written yet of one frame
  uint8_t bytes[LENGTH + MOST_FRAME];
};
struct entering {
  size_t end; // of `bytes`: what is no whole frame yet
  uint8_t bytes[2 * (LENGTH + MOST_FRAME)];
};
// All that is there, until the link takes no more. Of one that is not `up` all is lost. False once either has ended.
bool leave(struct leaving *leaving, int device, bool up);
bool enter(struct entering *entering, int device, bool up);

// carry.c: until the VMM or the link ends.
struct beside {
  int device;
  int vmm;  // its process, as a descriptor
  int plug; // -1: the link is up
};
void carry(struct beside beside);

// confine.c: from here on it has no rights, and few calls.
bool confine(void);

#endif
