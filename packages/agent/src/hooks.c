#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

#define FOLDER "/etc/ovm/hooks.d"

// Spares a guest that has nothing to run the process for it.
bool hooks_any(void) {
  struct stat found;
  return fstatat(places.proc, "1/root/etc/ovm", &found, 0) == 0;
}

// What a package manager or an editor left beside one is none.
static int is_hook(const struct dirent *entry) {
  const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  char path[sizeof FOLDER + 1 + sizeof entry->d_name];
  struct stat found;
  if (entry->d_name[strspn(entry->d_name, letters)]) return 0;
  stpcpy(stpcpy(path, FOLDER "/"), entry->d_name);
  return stat(path, &found) == 0 && S_ISREG(found.st_mode) && (found.st_mode & 0111);
}

static int by_bytes(const struct dirent **one, const struct dirent **other) {
  return strcmp((*one)->d_name, (*other)->d_name);
}

static bool run(const char *name, const char *event) {
  char path[sizeof FOLDER + 256];
  stpcpy(stpcpy(path, FOLDER "/"), name);
  dprintf(1, "%s\n", name);
  pid_t pid = fork();
  if (pid == 0) {
    dup2(2, 1);
    execl(path, path, event, (char *)NULL);
    dprintf(2, "%s\n", strerror(errno));
    _exit(126);
  }
  int status = -1;
  while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  if (pid > 0 && status == 0) return true;
  if (WIFSIGNALED(status)) dprintf(2, "%s: ended by signal %d\n", path, WTERMSIG(status));
  else dprintf(2, "%s: ended with status %d\n", path, pid > 0 ? WEXITSTATUS(status) : 126);
  return false;
}

void hooks_run(const struct request *request) {
  const char *event = request->event, *name = request->name ? request->name : "";
  if (!enter_alone()) _exit(126);
  clearenv();
  setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
  setenv("HOME", "/root", 1);
  setenv("OVMS_EVENT", event, 1);
  setenv("OVMS_NAME", name, 1);
  bool well = strcmp(event, "post-resume") != 0 || renew(name);
  struct dirent **hooks;
  int count = scandir(FOLDER, &hooks, is_hook, by_bytes);
  // One that fails keeps none of the others from being run.
  for (int i = 0; i < count; i++) well = run(hooks[i]->d_name, event) && well;
  _exit(well ? 0 : 1);
}
