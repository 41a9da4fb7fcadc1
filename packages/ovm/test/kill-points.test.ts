import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { Random } from "@ovms/testkit/random.ts"
import { until } from "@ovms/testkit/until.ts"
import { finished, type Result, Sandbox } from "./sandbox.ts"

setDefaultTimeout(600_000)

// A daemon that is killed at any moment, while it works for several at once.

const skip = guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/kill-points.test.ts: ${skip}`)

const SEED = 13
/** A kill is as many points as there are commands that it cuts off. */
const POINTS = 100
const MACHINES = ["a", "b", "c", "d"]
const LONGEST_MS = 600
/** Each tick writes its number behind sector 100; the 48th is a `0` in ASCII, which the next boot reads. */
const ARGS = "tick_ms=10 button=1 log=100 flush=1 read=148"
const [WRITTEN, READ] = ["FLUSHED 48\r\n", "SECTOR 148 [0]"]

/** A command, and what it makes or removes. */
interface Step {
  readonly command: readonly string[]
  readonly makes?: string
  readonly removes?: string
}

describe.skipIf(Boolean(skip))(`${POINTS} random kill points ${skip}`, () => {
  let box: Sandbox
  const random = new Random(SEED)
  /** What there is, as far as anybody was told: undefined where nobody was. */
  const told = new Map<string, boolean | undefined>()
  let made = 0

  beforeAll(async () => {
    box = await Sandbox.create()
    const disk = await box.file("disk.raw", Buffer.alloc(1 << 20))
    await packGuest(join(box.home, "store"), "writes:1", ARGS, {
      diskLayers: [{ path: disk, format: "raw" as const }],
    })
    for (const name of MACHINES) await box.ok(["run", "-d", "--name", name, "--network", "none", "writes:1"])
    for (const name of MACHINES) await box.console(name, WRITTEN)
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  const states = async () => new Map((await box.instances("--all")).map(({ name, state }) => [name, state]))

  function step(name: string, state: string | undefined): Step {
    if (state === "running") return { command: [random.of(["stop", "restart"]), "--time", "0", name] }
    if (random.chance(0.6)) return { command: ["start", name] }
    const image = `kept:${++made}`
    return { command: ["commit", name, "--tag", image], makes: `image ${image}` }
  }

  function volumeStep(): Step {
    const [there] = [...told].filter(([what, is]) => is && what.startsWith("volume ")).map(([what]) => what)
    if (there && random.chance(0.5))
      return { command: ["volume", "rm", there.replace("volume ", "")], removes: there }
    const name = `v${++made}`
    return { command: ["volume", "create", name, "--size", "1MiB"], makes: `volume ${name}` }
  }

  /** What is known of what `step` makes or removes, now that it has ended. */
  function learn({ makes, removes }: Step, { status }: Result): void {
    if (makes) told.set(makes, status === 0 ? true : undefined)
    if (removes) told.set(removes, status === 0 ? false : undefined)
  }

  /** Kills the daemon while it works on something of each, and gives how many it cut off. */
  async function kill(): Promise<number> {
    const now = await states()
    const { pid } = (await box.json(["info"])).daemon
    const steps = [...MACHINES.map((name) => step(name, now.get(name))), volumeStep()]
    const children = steps.map(({ command }) => box.begin(command))
    const ends = children.map((child) => finished(child))
    await Bun.sleep(random.below(LONGEST_MS))
    const cut = children.filter(({ exitCode }) => exitCode === null).length
    process.kill(pid, "SIGKILL")
    for (const [index, end] of ends.entries()) {
      const result = await end
      expect(result.stderr, steps[index]?.command.join(" ")).not.toMatch(/OVM_INTERNAL|\n\s+at /)
      learn(steps[index] as Step, result)
    }
    return cut
  }

  /** All that somebody was told of is there, and nothing that is gone. */
  async function nothingIsLost(): Promise<void> {
    const found = await states()
    expect([...found.keys()].sort()).toEqual(MACHINES)
    const { volumes } = await box.json(["volume", "ls"])
    const images = await box.json(["images"])
    const there = new Set([
      ...volumes.map(({ name }: { name: string }) => `volume ${name}`),
      ...images.map(({ name, tag }: { name: string; tag: string }) => `image ${name}:${tag}`),
    ])
    for (const [what, is] of told)
      if (is === undefined) told.set(what, there.has(what))
      else expect(there.has(what), what).toBe(is)
  }

  // OVMS-STA-010, OVMS-STA-011, OVMS-STA-026, OVMS-STA-028, OVMS-API-191
  test("no machine, no volume, no image and nothing that a guest wrote is lost", async () => {
    for (let points = 0; points < POINTS; ) {
      points += await kill()
      await nothingIsLost()
    }
    const kept = [...told].filter(([what, is]) => is && what.startsWith("image "))
    expect(kept).not.toEqual([])
    for (const [what] of kept) await box.ok(["validate", what.replace("image ", "")])
    for (const name of MACHINES) {
      await until(`${name} is at rest`, () => states(), {
        is: (now) => ["running", "stopped", "failed"].includes(now.get(name) ?? ""),
      })
      await box.ok(["restart", "--time", "0", name])
      await box.console(name, READ)
      await box.ok(["rm", "--force", name])
    }
    expect(readdirSync(join(box.home, "instances"))).toEqual([])
  })
})
