import { expect, setDefaultTimeout, test } from "bun:test"
import { execFileSync } from "node:child_process"
import { machineMissing } from "@ovms/testkit/machines.ts"
import { PORT, World, worldMissing } from "@ovms/testkit/world.ts"
import { packNetGuest } from "./net-guest.ts"
import { finished, PROGRAM, Sandbox } from "./sandbox.ts"

// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(600_000)

const skip =
  (await machineMissing()) || worldMissing() || (Bun.which("passt") ? "" : "passt is not installed")
if (skip) console.log(`SKIP packages/ovm/test/udp.test.ts: ${skip}`)

/** Says again by UDP what it hears at port 53; with an address, it first says a word to that address and port. */
const SAYS_AGAIN = `
#include <arpa/inet.h>
#include <stdlib.h>
int main(int count, char **words) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(53)}, peer = at;
  char bytes[2000];
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  bind(fd, (void *)&at, sizeof at);
  if (count > 2) {
    inet_pton(AF_INET, words[1], &peer.sin_addr);
    peer.sin_port = htons(atoi(words[2]));
    return sendto(fd, "?", 1, 0, (void *)&peer, sizeof peer) < 0;
  }
  for (;;) {
    socklen_t size = sizeof peer;
    ssize_t got = recvfrom(fd, bytes, sizeof bytes, 0, (void *)&peer, &size);
    if (got > 0) sendto(fd, bytes, got, 0, (void *)&peer, size);
  }
}
`
const ask = (address: string, port: number) => `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
for _ in range(50):
  s.sendto(b"hello", ("${address}", ${port}))
  try:
    print(*s.recvfrom(100))
    break
  except TimeoutError:
    pass
`

// OVMS-API-254, OVMS-MAN-110
test.skipIf(Boolean(skip))(
  "a client on this host is answered by UDP, and the guest says nothing else to it",
  async () => {
    using world = await World.create(["192.0.2.2", "2001:db8:1::2"], ["192.0.2.1", "2001:db8:1::1"])
    await using box = await Sandbox.create(world.host.inside)
    const onHost = (...command: readonly string[]): string => {
      const [file = "", ...args] = [...world.host.inside, ...command]
      return execFileSync(file, args, { env: box.environment(), timeout: 60_000 }).toString()
    }
    onHost(...PROGRAM, "daemon", "--detach")
    await packNetGuest(box, "net:1", "true\n")
    const program = box.path("says-again")
    execFileSync("musl-gcc", ["-static", "-xc", "-o", program, "-"], { input: SAYS_AGAIN })
    const ports = ["-p", "5353:53/udp", "-p", "0.0.0.0:5354:53/udp", "-p", "80"]
    await box.ok(["run", "-d", "--agent", "--name", "web", ...ports, "net:1"])
    await box.ok(["exec", "--wait", "300", "web", "true"])
    await box.ok(["cp", program, "web:/bin/says-again"])
    await box.ok(["exec", "web", "sh", "-c", "setsid says-again </dev/null >/dev/null 2>&1 &"])
    const answer = (port: number) => onHost("python3", "-c", ask("127.0.0.1", port)).trim()
    expect(answer(5353)).toBe("b'hello' ('127.0.0.1', 5353)")
    const { host: added } = await box.json(["port", "add", "web", "53/udp"])
    expect(answer(added)).toBe(`b'hello' ('127.0.0.1', ${added})`)
    // Its gateway stands for the host's loopback there: nobody but who has asked is reached by that.
    const gateway = "$(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p')"
    for (const to of [gateway, "127.0.0.1", "192.0.2.2"])
      await box.ok(["exec", "web", "sh", "-c", `says-again ${to} ${PORT}`])
    expect(answer(5353)).toBe("b'hello' ('127.0.0.1', 5353)")
    expect(world.host.contacts).toEqual([])
    // What carries it goes with the machine, and by itself.
    await box.ok(["port", "rm", "web", "5353/udp"])
    const { stdout } = await finished(box.begin(["port", "web"]))
    expect(stdout).not.toContain(":5353->")
    await box.ok(["rm", "--force", "web"])
  },
)
