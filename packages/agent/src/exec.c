#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

enum { CANNOT = 126, MISSING = 127 }; // as of a shell

_Noreturn static void fail(const char *what, const char *why, int status) {
  dprintf(2, "ovm-agent: %s: %s\n", what, why);
  _exit(status);
}

static bool is_number(const char *text, unsigned *value) {
  char *end;
  errno = 0;
  unsigned long number = strtoul(text, &end, 10);
  *value = (unsigned)number;
  return *text >= '0' && *text <= '9' && *end == 0 && errno == 0 && number < 0xffffffff;
}

// NAME, UID, either of them with a colon and a group's name or number.
static void become_user(const char *wanted) {
  char name[256];
  unsigned uid = 0, gid = 0;
  if (strlen(wanted) >= sizeof name) fail("user", "the name is too long", CANNOT);
  char *group = strchr(strcpy(name, wanted), ':');
  if (group) *group++ = 0;
  bool numeric = is_number(name, &uid);
  struct passwd *user = numeric ? getpwuid(uid) : getpwnam(name);
  if (!user && !numeric) fail(name, "there is no such user", CANNOT);
  if (user) {
    uid = user->pw_uid;
    gid = user->pw_gid;
    setenv("HOME", user->pw_dir, 1);
    setenv("USER", user->pw_name, 1);
  }
  if (group && !is_number(group, &gid)) {
    struct group *found = getgrnam(group);
    if (!found) fail(group, "there is no such group", CANNOT);
    gid = found->gr_gid;
  }
  int status = user && !group ? initgroups(user->pw_name, gid) : setgroups(0, NULL);
  if (status != 0 || setgid(gid) != 0 || setuid(uid) != 0) fail(wanted, strerror(errno), CANNOT);
}

void exec_command(const struct request *request) {
  if (!enter_root()) fail("the guest's root", strerror(errno), CANNOT);
  clearenv();
  setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
  setenv("HOME", "/", 1);
  if (request->terminal) setenv("TERM", "xterm", 1);
  become_user(request->user ? request->user : "0");
  for (size_t i = 0; i < request->variables; i++)
    if (putenv(request->environment[i]) != 0) fail("environment", strerror(errno), CANNOT);
  if (request->directory && chdir(request->directory) != 0) fail(request->directory, strerror(errno), CANNOT);
  const char *program = request->arguments[0];
  execvp(program, request->arguments);
  fail(program, strerror(errno), errno == ENOENT ? MISSING : CANNOT);
}
