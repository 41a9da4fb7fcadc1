// Whether the guest's kernel can power off. Where it cannot, it halts in its place, and the machine would stay.
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

#ifdef __x86_64__

// More than any table has that was seen.
enum { MOST_TABLE = 4 << 20 };

// Of ACPI's state S5, in what describes the machine (ACPI 6.5, 7.4.2): Linux asks for no more where it registers what
// powers off.
static const char S5[] = {'_', 'S', '5', '_'};

static bool has_s5(int tables, const char *name) {
  int fd = openat(tables, name, O_RDONLY | O_CLOEXEC);
  uint8_t *table = fd < 0 ? NULL : malloc(MOST_TABLE);
  size_t length = 0;
  for (ssize_t got = 1; table && got > 0 && length < MOST_TABLE; length += got > 0 ? (size_t)got : 0)
    got = read(fd, table + length, MOST_TABLE - length);
  bool found = table && memmem(table, length, S5, sizeof S5);
  free(table);
  if (fd >= 0) close(fd);
  return found;
}

// Any of virtio-serial's: a VMM that has none has no power management either.
static bool is_port(int folder, const char *name) {
  (void)folder;
  return name[0] != '.';
}

static bool is_table_with_s5(int folder, const char *name) {
  return (strncmp(name, "DSDT", 4) == 0 || strncmp(name, "SSDT", 4) == 0) && has_s5(folder, name);
}

// 1 if something in the folder is such, 0 if nothing is, -1 where there is no such folder.
static int has(const char *path, bool (*is_such)(int folder, const char *name)) {
  int fd = openat(places.sys, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *folder = fd < 0 ? NULL : fdopendir(fd);
  if (!folder) return -1;
  bool found = false;
  for (struct dirent *entry; !found && (entry = readdir(folder));) found = is_such(fd, entry->d_name);
  closedir(folder);
  return found;
}

bool can_power_off(void) {
  int found = has("firmware/acpi/tables", is_table_with_s5);
  // A kernel without ACPI cannot anywhere; where its machine could reboot in place, it had better halt.
  return found >= 0 ? found : has("class/virtio-ports", is_port) > 0;
}

#else

// By PSCI, or the firmware's own call.
bool can_power_off(void) { return true; }

#endif
