#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

// Of linux/random.h, which is not everywhere: add bytes that count as so many bits, and take the pool anew.
#define ADD_ENTROPY _IOW('R', 0x03, int[2])
#define RESEED _IO('R', 0x07)

int clock_set(uint64_t ns) {
  struct timespec time = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
  return clock_settime(CLOCK_REALTIME, &time) == 0 ? 0 : errno;
}

int pool_reseed(const uint8_t *seed, size_t length) {
  struct {
    int bits, length;
    uint8_t bytes[64];
  } entropy;
  if (length == 0 || length > sizeof entropy.bytes) return EINVAL;
  entropy.bits = (int)length * 8;
  entropy.length = (int)length;
  memcpy(entropy.bytes, seed, length);
  int fd = openat(places.dev, "urandom", O_RDWR | O_CLOEXEC);
  if (fd < 0) return errno;
  int error = 0;
  if (ioctl(fd, ADD_ENTROPY, &entropy) != 0) error = errno;
  // Kernels before 4.14 have none, and take what was added within five minutes.
  else if (ioctl(fd, RESEED) != 0 && errno != EINVAL && errno != ENOTTY) error = errno;
  close(fd);
  return error;
}
