import { expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { KERNEL_ARGS, UNPACKED } from "@ovms/testkit/machines.ts"
import { until } from "@ovms/testkit/until.ts"
import { Sandbox } from "./sandbox.ts"

// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(300_000)

// What clones of a Linux share, and what they must not (spec/snapshot.md, "Uniqueness").

const ARGS = `${KERNEL_ARGS} root=/dev/vda rw ovm.count`
const CLONES = 4
const skip =
  (existsSync(UNPACKED) ? "" : "the demo machine is not built (make machine)") ||
  (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/clones.test.ts: ${skip}`)

interface Count {
  readonly count: number
  readonly disk: number
  readonly random: string
}

async function counts(host: Sandbox, id: string): Promise<Count[]> {
  const text = await host.ok(["logs", id])
  return [...text.matchAll(/^OVM-COUNT (\d+) disk=(\d+) random=([0-9a-f]{16})\r?$/gm)].map(
    ([, count, disk, random = ""]) => ({ count: Number(count), disk: Number(disk), random }),
  )
}

async function atLeast(host: Sandbox, id: string, lines: number): Promise<Count[]> {
  return until(`${lines} counts on the console`, () => counts(host, id), {
    is: (found) => found.length >= lines,
  })
}

/** Clones of one snapshot, by warm slot and without. */
for (const slots of [0, CLONES])
  test.skipIf(Boolean(skip))(
    `clones of a Linux go on from one point, with random bytes of their own (${slots} slots)`,
    async () => {
      await using host = await Sandbox.create()
      await host.ok(["pack", "-f", UNPACKED, "-t", "debian:12"])
      const source = (await host.json(["run", "-d", "--args", ARGS, "debian:12"])).instance_id
      await atLeast(host, source, 3)
      await host.ok(["snapshot", source, "--tag", "warm"])
      if (slots > 0) await host.ok(["warm", "debian:warm", "--slots", String(slots)])
      const started = await Promise.all(
        Array.from({ length: CLONES }, () => host.json(["run", "-d", "debian:warm"])),
      )
      const ids: string[] = started.map(({ instance_id }) => instance_id)
      const infos = await Promise.all(ids.map((id) => host.json(["status", id])))
      const generations = [source, ...ids].length
      const all = [await host.json(["status", source]), ...infos].map(({ generation_id }) => generation_id)
      expect(new Set(all).size).toBe(generations)

      const consoles = await Promise.all(ids.map((id) => atLeast(host, id, 5)))
      const first = consoles[0]?.[0]?.count ?? 0
      expect(first).toBeGreaterThan(3)
      for (const lines of consoles)
        for (const [index, { count, disk }] of lines.entries())
          expect([count, disk]).toEqual([first + index, first + index - 1])
      // The kernel renews its random state some milliseconds after it runs again: the first line may come before.
      const random = consoles.flatMap((lines) => lines.slice(1).map((line) => line.random))
      const theSources = (await counts(host, source)).slice(first).map((line) => line.random)
      expect(new Set([...random, ...theSources]).size).toBe(random.length + theSources.length)
    },
  )
