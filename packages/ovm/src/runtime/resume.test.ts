import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { evict, fincoreMissing, readFromDisks, resident } from "@ovms/testkit/memory.ts"
import { vmmsBelow } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { canonicalJson } from "../artifact/canonical.ts"
import { readArtifact } from "../artifact/machine/read.ts"
import { readSnapshot } from "../artifact/snapshot/read.ts"
import type { Descriptor } from "../content/descriptor.ts"
import { digestOf } from "../content/digest.ts"
import type { Pusher } from "../content/interfaces.ts"
import { openLayout } from "../content/layout/store.ts"
import { bytesOf } from "../content/read.ts"
import { lockLimit } from "../host/lock-limit.ts"
import { boardOf } from "../vmm/qemu/board.ts"
import type { InstanceInfo, Overrides } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

// From a machine's own name to a snapshot of it, and what a snapshot asks of this host: a real store, QEMU and guest.

const REPOSITORY = "localhost/tests/guest"
const MANIFEST = "application/vnd.ovms.manifest.v1+json"

let root: string
let runtime: LocalRuntime
const store = () => join(root, "store")

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "ovm-resume-"))
})
afterAll(() => rm(root, { recursive: true }))

/** Starts it, waits until it runs, and says what is known of it. */
async function run(manifest: string, overrides: Overrides = {}): Promise<InstanceInfo> {
  const { instance_id } = await runtime.start({ manifest, overrides })
  const info = await until("it has started", () => runtime.status(instance_id), {
    is: ({ state }) => state !== "starting",
  })
  if (info.state !== "running") throw new Error(`${info.state}: ${JSON.stringify(info.error)}`)
  return info
}

function ticks(id: string): Promise<string> {
  const text = async () => Buffer.concat(await Array.fromAsync(await runtime.logs(id))).toString()
  return until("a tick", text, { is: (text) => text.includes("TICK") })
}

/** A snapshot of the machine, taken of one that has just come up, or of the instance `of`. */
async function snapshot(tag: string, more: object = {}, of?: string): Promise<string> {
  const id = of ?? (await run(`${REPOSITORY}:1`, { resume: false })).instance_id
  await ticks(id)
  const { snapshot_ref } = await runtime.snapshot({ instance_id: id, tag, ...more })
  return snapshot_ref
}

/** Where this host has the inflated RAM of a snapshot. */
async function ramFile(name: string): Promise<string> {
  await using layout = await openLayout(store())
  const { snapshot } = await readSnapshot(layout, await layout.resolve(name))
  return join(root, "derived/files/ram", snapshot.ram.digest.slice(7))
}

/** The snapshot `snap-now` under other tags, as of machines with other processors. Returns what it says itself. */
async function withCpus(tags: Record<string, string>) {
  await using layout = await openLayout(store())
  const { snapshot, oci } = await readSnapshot(layout, await layout.resolve(`${REPOSITORY}:snap-now`))
  const push = pusher(layout)
  for (const [tag, cpuModel] of Object.entries(tags)) {
    const config = await push({ ...snapshot, vmm: { ...snapshot.vmm, cpuModel } }, oci.config.mediaType)
    const made = await push({ ...oci, config }, "application/vnd.oci.image.manifest.v1+json")
    await layout.tag(made, `${REPOSITORY}:${tag}`)
  }
  return snapshot.vmm
}

/** Puts JSON into a store. */
function pusher(layout: Pusher) {
  return async (value: object, mediaType: string): Promise<Descriptor> => {
    const bytes = canonicalJson(value)
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length }
    await layout.push(descriptor, bytesOf(bytes))
    return descriptor
  }
}

describe.skipIf(guestMissing !== "")(`resuming ${guestMissing}`, () => {
  beforeAll(async () => {
    // Nothing is signed here, and nothing need be said of that.
    const anything = { schemaVersion: 1, default: { requirements: [{ type: "digestOnly" }] } }
    await writeFile(join(root, "policy.json"), JSON.stringify(anything))
    const disk = join(root, "disk.raw")
    await writeFile(disk, Buffer.alloc(1 << 20))
    const more = { diskLayers: [{ path: disk, format: "raw" as const }] }
    await packGuest(store(), `${REPOSITORY}:1`, "tick_ms=20", more)
    const hints = { resume: true, coldStartTargetMs: 1 }
    await packGuest(store(), `${REPOSITORY}:hinting`, "tick_ms=21", { ...more, runtimeHints: hints })
    const lenient = { coldBootOnMismatch: true }
    await packGuest(store(), `${REPOSITORY}:lenient`, "tick_ms=22", { ...more, runtimeHints: lenient })
    runtime = await openRuntime(root)
  })
  afterEach(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
    await using layout = await openLayout(store())
    for await (const { reference } of layout.list())
      if (/:snap/.test(reference)) await layout.untag(reference)
  })
  afterAll(() => runtime.close())

  // OVMS-SNP-110, OVMS-SNP-111
  test("a machine's own name is gone on from where that is asked for, from the newest that fits", async () => {
    const older = await snapshot("snap-a")
    const newer = await snapshot("snap-b")
    expect((await run(`${REPOSITORY}:1`)).snapshot).toBeUndefined()
    const info = await run(`${REPOSITORY}:1`, { resume: true })
    expect(info.snapshot).toBe(newer)
    expect(info.image.reference).toBe(`${REPOSITORY}:1`)
    expect(await ticks(info.instance_id)).not.toContain("GUEST-READY")

    // A snapshot of that one has the machine as its base and the snapshot as its parent, as with any clone.
    const third = await snapshot("snap-c", { multi_resume: "deny" }, info.instance_id)
    expect((await run(`${REPOSITORY}:1`, { resume: true })).snapshot).toBe(third)
    // It may be resumed once, and was; the next newest may.
    expect((await run(`${REPOSITORY}:1`, { resume: true })).snapshot).toBe(newer)

    // What no name stands for merely lies here.
    await using layout = await openLayout(store())
    for (const tag of ["snap-b", "snap-c"]) await layout.untag(`${REPOSITORY}:${tag}`)
    expect((await run(`${REPOSITORY}:1`, { resume: true })).snapshot).toBe(older)
  })

  // OVMS-SNP-112
  test("where there is none that fits, the start is refused, or the machine boots and says why", async () => {
    const none = await refusal(runtime.start({ manifest: `${REPOSITORY}:1`, overrides: { resume: true } }))
    expect([none.code, none.message]).toEqual([
      "OVM_SNAPSHOT_INCOMPATIBLE",
      expect.stringContaining("there is none"),
    ])
    const digests = [await snapshot("snap-a"), await snapshot("snap-b")]
    const overrides = { resume: true, memory: 64 << 20 }
    const error = await refusal(runtime.start({ manifest: `${REPOSITORY}:1`, overrides }))
    expect(error.code).toBe("OVM_SNAPSHOT_INCOMPATIBLE")
    for (const digest of digests) expect(error.message).toContain(digest)
    const differs = { field: "/resources/memory", snapshot: 32 << 20, host: 64 << 20 }
    expect(error.detail).toEqual([differs, differs])
    const booted = await run(`${REPOSITORY}:1`, { ...overrides, coldBootOnMismatch: true })
    expect(booted.snapshot).toBeUndefined()
    expect(booted.warnings.join()).toMatch(/booted in place of resumed: .*\/resources\/memory/)
    expect(await ticks(booted.instance_id)).toContain("GUEST-READY")
  })

  // OVMS-API-108, OVMS-MAN-084, OVMS-SNP-111, OVMS-SNP-112
  test("a manifest may hint at it, and the start has the last word", async () => {
    const first = await run(`${REPOSITORY}:hinting`)
    expect(first.snapshot).toBeUndefined()
    expect(first.warnings.join()).toContain("there is none on this host")
    const digest = await snapshot("snap-hinted", { preload_hint: true }, first.instance_id)
    expect((await run(`${REPOSITORY}:hinting`)).snapshot).toBe(digest)
    expect((await run(`${REPOSITORY}:hinting`, { args: "tick_ms=20" })).snapshot).toBeUndefined()
    expect(await run(`${REPOSITORY}:hinting`, { resume: false })).toMatchObject({ warnings: [] })
    // Nor is the snapshot itself gone on from.
    const booted = await run(`${REPOSITORY}:snap-hinted`, { resume: false })
    expect(await ticks(booted.instance_id)).toContain("GUEST-READY")
    // And no hint has anything made ahead that nobody of this host asked for.
    expect((await runtime.info()).warm).toEqual([])
    expect(await vmmsBelow(root)).toHaveLength((await runtime.list()).length)
  })

  // OVMS-SNP-076
  test("a manifest may hint at a boot in place of a snapshot that does not fit", async () => {
    const { instance_id } = await run(`${REPOSITORY}:lenient`)
    await snapshot("snap-lenient", {}, instance_id)
    const overrides = { memory: 64 << 20 }
    const booted = await run(`${REPOSITORY}:snap-lenient`, overrides)
    expect([booted.snapshot, booted.warnings.join()]).toEqual([
      undefined,
      expect.stringContaining("/resources/memory"),
    ])
    const start = {
      manifest: `${REPOSITORY}:snap-lenient`,
      overrides: { ...overrides, coldBootOnMismatch: false },
    }
    expect((await refusal(runtime.start(start))).code).toBe("OVM_SNAPSHOT_INCOMPATIBLE")
  })

  test("one that goes on without an agent is said to have the clock and the identity of its snapshot [OVMS-SNP-174]", async () => {
    const before = Date.now()
    await snapshot("snap-alone")
    const { warnings } = await run(`${REPOSITORY}:snap-alone`)
    const [, created = "", age] =
      /a snapshot of (\S+), taken (.+?), without an agent/.exec(warnings.join()) ?? []
    expect(Date.parse(created)).toBeGreaterThanOrEqual(before)
    expect(age).toMatch(/^(just now|\d+ seconds? ago)$/)
  })

  // OVMS-SNP-101, OVMS-SNP-102
  test("memory that must be locked is, and shared with nobody; or the limit forbids it before anything starts", async () => {
    const digest = await snapshot("snap-locked", { mlock_required: true, preload_hint: true })
    const manifest = `${REPOSITORY}:snap-locked`
    if ((await lockLimit()) < 1 << 30) {
      const error = await refusal(runtime.start({ manifest }))
      expect([error.code, error.message]).toEqual([
        "OVM_UNSUPPORTED",
        expect.stringContaining("RLIMIT_MEMLOCK"),
      ])
      return
    }
    const info = await run(manifest)
    expect(info.snapshot).toBe(digest)
    expect(info.warnings.join()).toContain("shares none of it")
    await ticks(info.instance_id)
    const [pid] = (await readFile(join(root, "instances", info.instance_id, "pid"), "utf8")).split(" ")
    const locked = /^VmLck:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1]
    expect(Number(locked) * 1024).toBeGreaterThan(32 << 20)
    const maps = (await readFile(`/proc/${pid}/smaps`, "utf8")).split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    const ram = maps.find((one) => one.includes(join(root, "derived")))
    expect(ram).toMatch(/^Size: +32768 kB$/m)
    expect(ram).toMatch(/^Private_Dirty: +32768 kB$/m)
  })

  // OVMS-SNP-100
  test.skipIf(fincoreMissing !== "")(
    `RAM that is to be read ahead is, though its guest asks for little of it ${fincoreMissing}`,
    async () => {
      // It lies in the RAM, and the guest looks at its head alone.
      const size = 16 << 20
      const initrd = { path: join(root, "initrd") }
      await writeFile(initrd.path, randomBytes(size))
      const resources = { vcpus: 1, memory: 64 << 20 }
      await packGuest(store(), `${REPOSITORY}:ahead`, "tick_ms=23", { initrd, resources })
      const { instance_id } = await run(`${REPOSITORY}:ahead`)
      for (const ahead of [false, true]) {
        await snapshot(`snap-${ahead}`, { preload_hint: ahead }, instance_id)
        const path = await ramFile(`${REPOSITORY}:snap-${ahead}`)
        evict(path)
        expect(resident(path)).toBeLessThan(size)
        const before = readFromDisks()
        await ticks((await run(`${REPOSITORY}:snap-${ahead}`)).instance_id)
        // The VMM reads what its guest asks for in a process of its own.
        const read = () => readFromDisks() - before
        if (ahead) await until("all of it read", read, { is: (bytes) => bytes >= size })
        else expect(read()).toBeLessThan(size)
      }
    },
  )

  // OVMS-SNP-070
  test("a processor that an earlier version emulated is what its snapshots go on with, and no other fits", async () => {
    const { emulated, emulatedBefore } = boardOf({})
    const [before = "none"] = emulatedBefore
    await snapshot("snap-now")
    const own = await withCpus({ "snap-before": before, "snap-other": "max" })
    const refused = async (tag: string, cpu: string) => {
      const error = await refusal(runtime.start({ manifest: `${REPOSITORY}:${tag}`, overrides: {} }))
      expect([error.code, error.detail]).toEqual([
        "OVM_SNAPSHOT_INCOMPATIBLE",
        [{ field: "/vmm/cpuModel", snapshot: cpu, host: own.cpuModel }],
      ])
    }
    await refused("snap-other", "max")
    // KVM passes the host's own on, and never did otherwise.
    if (own.accelerator !== "tcg") return await refused("snap-before", before)
    expect(own.cpuModel).toBe(emulated)
    const { instance_id } = await run(`${REPOSITORY}:snap-before`)
    expect(await ticks(instance_id)).not.toContain("GUEST-READY")
    const [pid] = (await readFile(join(root, "instances", instance_id, "pid"), "utf8")).split(" ")
    expect((await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0")).toContain(before)
  })

  // OVMS-SNP-083
  test("RAM beside the machine is gone on from as a snapshot of it is", async () => {
    await snapshot("snap-inline")
    {
      await using layout = await openLayout(store())
      const taken = await readSnapshot(layout, await layout.resolve(`${REPOSITORY}:snap-inline`))
      const machine = await readArtifact(layout, await layout.resolve(`${REPOSITORY}:1`))
      const push = pusher(layout)
      const { base: _, ...rest } = taken.snapshot
      const descriptor = await push(rest, "application/vnd.ovms.snapshot.v1+json")
      const { layers, ...oci } = machine.oci
      const all = [...layers, descriptor, ...taken.oci.layers]
      for (const [tag, hints] of [
        ["snap-inside", { preload_hint: true }],
        ["snap-inside-locked", { mlock_required: true }],
      ] as const) {
        const ramSnapshot = { ref: taken.snapshot.ram.ref, compression: "zstd", ...hints }
        const config = await push({ ...machine.manifest, ramSnapshot }, MANIFEST)
        const made = await push({ ...oci, config, layers: all }, "application/vnd.oci.image.manifest.v1+json")
        await layout.tag(made, `${REPOSITORY}:${tag}`)
      }
    }
    const info = await run(`${REPOSITORY}:snap-inside`)
    expect(info.snapshot).toBe(info.image.digest)
    expect(await ticks(info.instance_id)).not.toContain("GUEST-READY")
    const booted = await run(`${REPOSITORY}:snap-inside`, { resume: false })
    expect(booted.snapshot).toBeUndefined()
    expect(await ticks(booted.instance_id)).toContain("GUEST-READY")
    // What the manifest alone asks for holds as well.
    const locked = `${REPOSITORY}:snap-inside-locked`
    const said =
      (await lockLimit()) < 1 << 30
        ? (await refusal(runtime.start({ manifest: locked }))).message
        : (await run(locked)).warnings.join()
    expect(said).toContain("mlock_required")
  })
})
