import { expect, setDefaultTimeout, test } from "bun:test"
import { execFileSync } from "node:child_process"
import { machineMissing } from "@ovms/testkit/machines.ts"
import { PORT, World, worldMissing } from "@ovms/testkit/world.ts"
import { packNetGuest } from "./net-guest.ts"
import { finished, PROGRAM, Sandbox } from "./sandbox.ts"
import { ASK, sayAgain } from "./udp-words.ts"

// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(600_000)

const skip =
  (await machineMissing()) || worldMissing() || (Bun.which("passt") ? "" : "passt is not installed")
if (skip) console.log(`SKIP packages/ovm/test/udp.test.ts: ${skip}`)

// OVMS-API-254, OVMS-MAN-110, OVMS-NET-040
test.skipIf(Boolean(skip))(
  "clients on this host and elsewhere are answered by UDP, and the guest says nothing else to the host",
  async () => {
    using world = await World.create(["192.0.2.2", "2001:db8:1::2"], ["192.0.2.1", "2001:db8:1::1"])
    await using box = await Sandbox.create(world.host.inside)
    const onHost = (...command: readonly string[]): string => {
      const [file = "", ...args] = [...world.host.inside, ...command]
      return execFileSync(file, args, { env: box.environment(), timeout: 60_000 }).toString()
    }
    onHost(...PROGRAM, "daemon", "--detach")
    await packNetGuest(box, "net:1", "true\n")
    const ports = ["5353:53/udp", "0.0.0.0:5354:53/udp", "[::]:5354:53/udp", "80"].flatMap((one) => [
      "-p",
      one,
    ])
    await box.ok(["run", "-d", "--agent", "--name", "web", ...ports, "net:1"])
    await box.ok(["exec", "--wait", "300", "web", "true"])
    await sayAgain(box, "web")
    const heard = (...places: readonly string[]) => places.map((place) => `hello ${place}\n`).join("")
    // The second address of each family is not the one that the guest has as well.
    for (const more of ["198.18.0.1/32", "fd00:17::1/128"]) onHost("ip", "addr", "add", more, "dev", "near")
    const outer = ["192.0.2.2 5354", "2001:db8:1::2 5354"]
    const own = ["127.0.0.1 5353", "127.0.0.1 5354", "::1 5354", ...outer]
    expect(onHost("python3", "-c", ASK, ...own)).toBe(heard(...own))
    expect(onHost("python3", "-c", ASK, "198.18.0.1 5354", "fd00:17::1 5354")).not.toContain("lost")
    // One of them is the gateway of the guest.
    const [file = "", ...far] = world.others.inside
    const elsewhere = (...places: readonly string[]) =>
      execFileSync(file, [...far, "python3", "-c", ASK, ...places], { timeout: 60_000 }).toString()
    expect(elsewhere(...outer)).toBe(heard(...outer))
    expect((await box.json(["status", "web"])).warnings.join()).not.toContain("udp")

    const [loop, wide] = [
      await box.json(["port", "add", "web", "53/udp"]),
      await box.json(["port", "add", "web", "0.0.0.0:5355:53/udp"]),
    ]
    const added = [`127.0.0.1 ${loop.host}`, `127.0.0.1 ${wide.host}`, `192.0.2.2 ${wide.host}`]
    expect(onHost("python3", "-c", ASK, ...added)).toBe(heard(...added))
    expect(elsewhere("192.0.2.2 5355")).toBe(heard("192.0.2.2 5355"))
    await box.ok(["port", "rm", "web", "0.0.0.0:5354/udp"])
    expect(onHost("python3", "-c", ASK, "::1 5354", "192.0.2.2 5355")).toBe(
      heard("::1 5354", "192.0.2.2 5355"),
    )
    // 192.0.0.8 stands for this host there: nobody but who has asked is reached by that.
    const gateway = "::ffff:$(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p')"
    for (const to of [gateway, "::ffff:192.0.0.8", "::ffff:127.0.0.1", "::ffff:192.0.2.2", "2001:db8:1::2"])
      await box.ok(["exec", "web", "sh", "-c", `says-again ${to} ${PORT}`])
    expect(onHost("python3", "-c", ASK, "127.0.0.1 5353")).toBe(heard("127.0.0.1 5353"))
    expect(world.host.contacts).toEqual([])
    // What carries it goes with the machine, and by itself.
    await box.ok(["port", "rm", "web", "5353/udp"])
    const { stdout } = await finished(box.begin(["port", "web"]))
    expect(stdout).not.toContain(":5353->")
    await box.ok(["rm", "--force", "web"])
  },
)
