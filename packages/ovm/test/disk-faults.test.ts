import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { cpSync, existsSync, readdirSync, rmSync } from "node:fs"
import { copyFile } from "node:fs/promises"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { FAULTS, type Fault, inject, injectMissing } from "@ovms/testkit/inject/inject.ts"
import { Random } from "@ovms/testkit/random.ts"
import { collectGarbage } from "../src/content/layout/gc.ts"
import { openLayout } from "../src/content/layout/store.ts"
import { pushReferrer } from "../src/content/store.testing.ts"
import { startTest, type TestRegistry } from "../src/registry-server/registry.testing.ts"
import { expectSuccess, PROGRAM, Sandbox } from "./sandbox.ts"
import { faultsOf } from "./store-whole.ts"

setDefaultTimeout(300_000)

// A system call fails, writes half of what it should, or is the last one before a kill -9: at random points of every
// command that writes to the store. After each of them the store is whole, and the same command succeeds.
// OVM_FAULT_SEED=N repeats a run, OVM_FAULT_POINTS=N makes it longer.

const SEED = Number(process.env.OVM_FAULT_SEED ?? 1)
const POINTS = Number(process.env.OVM_FAULT_POINTS ?? 38)
const LANES = 2

const skip = guestMissing || injectMissing
if (skip) console.log(`SKIP packages/ovm/test/disk-faults.test.ts: ${skip}`)

interface Scenario {
  readonly args: readonly string[]
  /** Whether it begins with the image in its store. */
  readonly given: boolean
  /** Names in the store once it succeeded. */
  readonly names: readonly string[]
  readonly before?: (host: Sandbox) => Promise<void>
  /** What has to be true besides. */
  readonly after?: (host: Sandbox) => Promise<void>
}

describe.skipIf(Boolean(skip))(`faults of the disk (OVM_FAULT_SEED=${SEED}) ${skip}`, () => {
  let box: Sandbox
  let registry: TestRegistry
  const scenarios: Record<string, Scenario> = {}

  beforeAll(async () => {
    box = await Sandbox.create()
    registry = await startTest()
    await copyFile(await buildGuest(), box.path("kernel"))
    await box.file("disk.raw", Buffer.alloc(1 << 20, "no zeros"))
    const remote = `${registry.host}/faults/m:1`
    await box.ok(["pack", "--kernel", "kernel", "--layer", "disk.raw", "-t", "given:1"])
    await box.ok(["tag", "given:1", remote])
    await box.ok(["push", remote])
    await box.ok(["rmi", remote])
    await box.ok(["save", "-o", "given.tar", "given:1"])
    const at = (name: string) => box.path(name)
    const pack = ["pack", "--kernel", at("kernel"), "--layer", at("disk.raw"), "-t", "packed:1"]
    Object.assign(scenarios, {
      "pack into no store": { args: pack, given: false, names: ["packed:1"] },
      pack: { args: [...pack, "--args", "other"], given: true, names: ["given:1", "packed:1"] },
      pull: { args: ["pull", remote], given: false, names: [remote] },
      load: { args: ["load", "-i", at("given.tar")], given: false, names: ["given:1"] },
      tag: { args: ["tag", "given:1", "other:1"], given: true, names: ["given:1", "other:1"] },
      rmi: { args: ["rmi", "given:1"], given: true, names: [] },
      "rmi beside a referrer": {
        args: ["rmi", "packed:1"],
        given: true,
        names: ["given:1"],
        before: async (host) => {
          await using store = await openLayout(join(host.home, "store"))
          const subject = await store.resolve("given:1")
          await store.tag(subject, "packed:1")
          await pushReferrer(store, subject, "application/x.note")
        },
        after: async (host) => {
          await using store = await openLayout(join(host.home, "store"))
          expect(await Array.fromAsync(store.referrers(await store.resolve("given:1")))).toHaveLength(1)
        },
      },
      save: {
        args: ["save", "-o", "home/out.tar", "given:1"],
        given: true,
        names: ["given:1"],
        after: async (host) => {
          expect(await host.ok(["inspect", "./home/out.tar"])).toContain("sha256:")
        },
      },
    } satisfies Record<string, Scenario>)
  })
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]()
    await box?.[Symbol.asyncDispose]()
  })

  const NAMES = ["pack into no store", "pack", "pull", "load", "tag", "rmi", "rmi beside a referrer", "save"]

  test.each(NAMES)("%s", async (name) => {
    const scenario = scenarios[name]
    if (!scenario) throw new Error(`no scenario ${name}`)
    const random = new Random(SEED + NAMES.indexOf(name))
    const calls = new Map<string, number>()
    {
      await using host = await Sandbox.create()
      for (const kind of FAULTS) {
        await begin(host, scenario)
        calls.set(kind, (await attempt(host, scenario, { kind, from: 0, to: 0 })).calls)
      }
    }
    const points = Array.from({ length: POINTS }, (): Fault => {
      const kind = FAULTS[random.below(FAULTS.length)] ?? "EIO"
      const from = 1 + random.below(calls.get(kind) ?? 0)
      // Once, or for as long as the command runs.
      return { kind, from, to: random.chance(0.7) ? from : 1e9 }
    })
    const wrong: string[] = []
    await Promise.all(
      Array.from({ length: LANES }, async (_, lane) => {
        await using host = await Sandbox.create()
        for (const fault of points.filter((_, at) => at % LANES === lane))
          await judge(host, scenario, fault).catch((thrown) => wrong.push(String(thrown)))
      }),
    )
    expect(wrong.join("\n\n")).toBe("")
  })

  async function begin(host: Sandbox, { given, before }: Scenario): Promise<void> {
    rmSync(host.home, { recursive: true, force: true })
    if (given) cpSync(box.home, host.home, { recursive: true })
    await before?.(host)
  }

  function attempt(host: Sandbox, { args }: Scenario, fault: Fault) {
    return inject(host.home, fault, [...PROGRAM, ...args], { cwd: host.directory, env: host.environment() })
  }

  async function judge(host: Sandbox, scenario: Scenario, fault: Fault): Promise<void> {
    await begin(host, scenario)
    const { status, stderr, hit } = await attempt(host, scenario, fault)
    const at = `${scenario.args[0]}, ${JSON.stringify(fault)}: ${hit}\n${stderr}`
    try {
      // It says what happened, unless it was killed, or went on all the same.
      if (status !== 0 && fault.kind !== "crash") {
        expect(stderr).toMatch(/^error: OVM_(?!INTERNAL)[A-Z_]+: ./m)
        expect(stderr).toContain(host.home)
      }
      if (fault.kind === "crash" && hit !== "-") expect(status).toBe(137)
      // What is killed, or cannot remove either, leaves it to a later sweep.
      else if (fault.to === fault.from) expect(temporaries(host.home)).toEqual([])
      expect(faultsOf(join(host.home, "store"))).toEqual([])
      if (status === 0) await expectDone(host, scenario)
      // A removal that was through cannot be asked for again.
      const again = await host.ovm(scenario.args)
      const gone = scenario.args[0] === "rmi" && again.stderr.includes("OVM_NAME_UNKNOWN")
      if (!gone) expectSuccess(again, scenario.args)
      await expectDone(host, scenario)
      expect(faultsOf(join(host.home, "store"))).toEqual([])
      await collectGarbage(join(host.home, "store"), { partials: true })
      for (const folder of ["ingest", "leases"])
        expect(readdirSync(join(host.home, "store/ovm", folder))).toEqual([])
    } catch (thrown) {
      throw new Error(`${at}\n${thrown instanceof Error ? thrown.message : thrown}`, { cause: thrown })
    }
  }

  function temporaries(folder: string): string[] {
    const names = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }) : []
    return names.filter((name) => /\.tmp$/.test(name))
  }

  async function expectDone(host: Sandbox, { names, after }: Scenario): Promise<void> {
    const images: { name: string; tag: string }[] = existsSync(host.home) ? await host.json(["images"]) : []
    expect(images.map(({ name, tag }) => `${name}:${tag}`).sort()).toEqual([...names].sort())
    await after?.(host)
  }
})
