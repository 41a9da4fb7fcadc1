import { execFileSync } from "node:child_process"
import type { Sandbox } from "./sandbox.ts"

/** Says again by UDP what it hears at port 53; with an address, it first says a word to that address and port. */
const SAYS_AGAIN = `
#include <arpa/inet.h>
#include <stdlib.h>
int main(int count, char **words) {
  int fd = socket(AF_INET6, SOCK_DGRAM, 0), on = 1, off = 0;
  struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(53)}, peer = at;
  char bytes[2000];
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  bind(fd, (void *)&at, sizeof at);
  if (count > 2) {
    inet_pton(AF_INET6, words[1], &peer.sin6_addr);
    peer.sin6_port = htons(atoi(words[2]));
    return sendto(fd, "?", 1, 0, (void *)&peer, sizeof peer) < 0;
  }
  for (;;) {
    socklen_t size = sizeof peer;
    ssize_t got = recvfrom(fd, bytes, sizeof bytes, 0, (void *)&peer, &size);
    if (got > 0) sendto(fd, bytes, got, 0, (void *)&peer, size);
  }
}
`

/** Of Python, with words `ADDRESS PORT`: asks by a socket of its own each until it is
 * answered, and says by whom. */
export const ASK = `
import socket, sys
for word in sys.argv[1:]:
  address, port = word.rsplit(" ", 1)
  s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
  s.settimeout(1)
  for _ in range(10):
    s.sendto(b"hello", (address, int(port)))
    try:
      said, who = s.recvfrom(100)
      print(said.decode(), *who[:2])
      break
    except TimeoutError:
      pass
  else: print("lost", word)
`

/** Has a machine with an agent say again what it hears; `says-again` is a program in it from here on. */
export async function sayAgain(box: Sandbox, machine: string): Promise<void> {
  const program = box.path("says-again")
  execFileSync("musl-gcc", ["-static", "-xc", "-o", program, "-"], { input: SAYS_AGAIN })
  await box.ok(["cp", program, `${machine}:/bin/says-again`])
  await box.ok(["exec", machine, "sh", "-c", "setsid says-again </dev/null >/dev/null 2>&1 &"])
}
