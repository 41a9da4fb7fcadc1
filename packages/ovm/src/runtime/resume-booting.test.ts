import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { writeBootDisk } from "@ovms/testkit/bios.ts"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { canonicalJson } from "../artifact/canonical.ts"
import { pack } from "../artifact/machine/pack.ts"
import type { SnapshotDescriptor } from "../artifact/snapshot/descriptor.ts"
import { readSnapshot } from "../artifact/snapshot/read.ts"
import { digestOf } from "../content/digest.ts"
import { openLayout } from "../content/layout/store.ts"
import { bytesOf } from "../content/read.ts"
import { checkChain } from "../disk/chain.ts"
import { inspectDisk } from "../disk/inspect.ts"
import { availableVmms } from "../vmm/available.ts"
import type { Machine } from "../vmm/machine.ts"
import type { Vmm } from "../vmm/vmm.ts"
import type { Overrides, SnapshotRequest } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

// Snapshots of guests whose firmware still reads what they were started with, from the request to the clone's console.

const REPOSITORY = "localhost/tests/booting"
const ARGS = "tick_ms=20 in=force"
/** A guest's firmware takes some 60 ms, and the pause may come late on a very busy host. */
const TRIES = 20

let root: string
let runtime: LocalRuntime
const store = () => join(root, "store")

/** Machines stand still as soon as they have begun, so that their snapshots are early on a busy host too. */
let hold = false

function holding(vmm: Vmm): Vmm {
  const { loader } = vmm
  const held = async (machine: Machine) => {
    if (hold) await machine.pause()
    return machine
  }
  return {
    name: vmm.name,
    capabilities: (call) => vmm.capabilities(call),
    check: (plan, call) => vmm.check(plan, call),
    adopt: (record, call) => vmm.adopt(record, call),
    launch: async (plan, call) => await held(await vmm.launch(plan, call)),
    ...(loader && {
      loader: {
        model: (plan, devices) => loader.model(plan, devices),
        macIn: (devices) => loader.macIn(devices),
        agentIn: (devices) => loader.agentIn(devices),
        check: (plan, call) => loader.check(plan, call),
        load: async (plan, call) => {
          const loaded = await loader.load(plan, hold ? { ...call, goesOn: false } : call)
          const { record, timings, exited } = loaded
          const resume = async () => await held(await loaded.resume())
          return { record, timings, exited, resume, discard: () => loaded.discard() }
        },
      },
    }),
  }
}

async function open(): Promise<LocalRuntime> {
  return await openRuntime(root, { vmms: availableVmms(join(root, "cache")).map(holding) })
}

async function run(manifest: string, overrides: Overrides = {}): Promise<string> {
  const { instance_id } = await runtime.start({ manifest, overrides })
  const started = await until("it has started", () => runtime.status(instance_id), {
    is: ({ state }) => state !== "starting",
    everyMs: 1,
  })
  expect(started.state).toBe(started.state === "paused" && hold ? "paused" : "running")
  return instance_id
}

async function descriptorOf(tag: string): Promise<SnapshotDescriptor> {
  await using layout = await openLayout(store())
  return (await readSnapshot(layout, await layout.resolve(`${REPOSITORY}:${tag}`))).snapshot
}

/** A snapshot called `tag` of a machine that has just begun, and boots still. */
async function early(
  tag: string,
  manifest: string,
  overrides: Overrides = {},
  more: Partial<SnapshotRequest> = {},
): Promise<SnapshotDescriptor> {
  for (let left = TRIES; left > 0; left--) {
    hold = true
    const id = await run(manifest, overrides).finally(() => {
      hold = false
    })
    const taken = await runtime.snapshot({ instance_id: id, tag, ...more }).catch((thrown) => {
      // For 0.1 ms of the firmware it is refused.
      expect(thrown).toMatchObject({ code: "OVM_STATE_CONFLICT" })
    })
    await runtime.remove(id, { force: true })
    const descriptor = taken && (await descriptorOf(tag))
    if (descriptor?.boot) return descriptor
  }
  throw new Error(`none of ${TRIES} snapshots was early enough`)
}

/** What the machine says until `words`. */
async function said(id: string, words = "TICK"): Promise<string> {
  const text = async () => Buffer.concat(await Array.fromAsync(await runtime.logs(id))).toString()
  return await until(words, text, { is: (text) => text.includes(words) })
}

describe.skipIf(guestMissing !== "")(`resuming what boots still ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-booting-"))
    const anything = { schemaVersion: 1, default: { requirements: [{ type: "digestOnly" }] } }
    await writeFile(join(root, "policy.json"), JSON.stringify(anything))
    const initrd = { path: join(root, "initrd") }
    await writeFile(initrd.path, Buffer.alloc(1 << 20, "initrd "))
    await packGuest(store(), `${REPOSITORY}:1`, "tick_ms=20 of=manifest", { initrd })
    runtime = await open()
  })
  afterEach(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
  })
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  /** The clone has read all of it, and it is what the machine was started with. */
  const whole = (text: string) => {
    expect(text).toContain(`CMDLINE [${ARGS}]\r\nINITRD addr=`)
    expect(text).toContain(`size=${1 << 20} head=${Buffer.from("initrd initrd in").toString("hex")}`)
  }

  // OVMS-SNP-131, OVMS-SNP-132
  test("with the initrd, and the arguments and the memory that the start asked for; and a snapshot of that one", async () => {
    const taken = await early("snap-a", `${REPOSITORY}:1`, { args: ARGS, memory: 48 << 20 })
    expect(taken).toMatchObject({ boot: { args: ARGS }, resources: { memory: 48 << 20 } })
    whole(await said(await run(`${REPOSITORY}:snap-a`)))
    // A clone that boots still is snapshotted as its source was; one that does not is given nothing from then on.
    const again = await early("snap-b", `${REPOSITORY}:snap-a`)
    expect(again.boot).toEqual({ args: ARGS })
    const id = await run(`${REPOSITORY}:snap-b`)
    whole(await said(id))
    await runtime.snapshot({ instance_id: id, tag: "snap-c" })
    expect((await descriptorOf("snap-c")).boot).toBeUndefined()
    const last = await run(`${REPOSITORY}:snap-c`)
    expect(await said(last)).not.toContain("CMDLINE")
    await runtime.snapshot({ instance_id: last, tag: "snap-d" })
    expect((await descriptorOf("snap-d")).boot).toBeUndefined()
    // Resumed with other arguments it is not, though it boots still.
    const other = { manifest: `${REPOSITORY}:snap-a`, overrides: { args: "tick_ms=21" } }
    expect((await refusal(runtime.start(other))).code).toBe("OVM_UNSUPPORTED")
  })

  // OVMS-SNP-132
  test("by a slot, once, and after the daemon was another one", async () => {
    await early("snap-once", `${REPOSITORY}:1`, { args: ARGS }, { multi_resume: "deny" })
    await early("snap-warm", `${REPOSITORY}:1`, { args: ARGS })
    await runtime.close()
    runtime = await open()
    await runtime.warm({ manifest: `${REPOSITORY}:snap-warm`, slots: 1 })
    const { instance_id } = await runtime.start({ manifest: `${REPOSITORY}:snap-warm` })
    expect((await runtime.status(instance_id)).timings_ms.spawn).toBeUndefined()
    whole(await said(instance_id))
    await runtime.warm({ manifest: `${REPOSITORY}:snap-warm`, slots: 0 })
    whole(await said(await run(`${REPOSITORY}:snap-once`)))
  })

  // OVMS-SNP-134
  test("secrets are looked for in the arguments too, which are in no RAM yet", async () => {
    const args = `${ARGS} token=glpat-${"aB3dE5fG7h".repeat(2)}`
    const { scrub } = await early("snap-told", `${REPOSITORY}:1`, { args }, { scrub_check: "report" })
    expect(scrub?.findings).toEqual([expect.objectContaining({ kind: "gitlab-token" })])
    const id = await run(`${REPOSITORY}:1`, { args })
    const request = { instance_id: id, tag: "snap-refused", scrub_check: "refuse" } as const
    expect((await refusal(runtime.snapshot(request))).code).toBe("OVM_SECRETS_FOUND")
  })

  // OVMS-SNP-131, OVMS-SNP-133
  test("a machine without a kernel has nothing to be given again, whatever a descriptor says", async () => {
    const disk = join(root, "boot.raw")
    await writeBootDisk(disk)
    {
      await using layout = await openLayout(store())
      const source = {
        schemaVersion: 1 as const,
        name: "test/bios",
        diskLayers: [{ path: disk, format: "raw" as const }],
        resources: { vcpus: 1, memory: 32 << 20 },
      }
      const packed = await pack(source, layout, { base: root, disks: { inspect: inspectDisk, checkChain } })
      await layout.tag(packed, `${REPOSITORY}:bios`)
    }
    const id = await run(`${REPOSITORY}:bios`)
    await runtime.snapshot({ instance_id: id, tag: "snap-bios" })
    const taken = await descriptorOf("snap-bios")
    expect(taken.boot).toBeUndefined()
    await said(await run(`${REPOSITORY}:snap-bios`), "SECTORS")

    await using layout = await openLayout(store())
    const push = async (value: object, mediaType: string) => {
      const bytes = canonicalJson(value)
      const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length }
      await layout.push(descriptor, bytesOf(bytes))
      return descriptor
    }
    const { oci } = await readSnapshot(layout, await layout.resolve(`${REPOSITORY}:snap-bios`))
    const config = await push({ ...taken, boot: { args: "" } }, "application/vnd.ovms.snapshot.v1+json")
    const made = await push({ ...oci, config }, "application/vnd.oci.image.manifest.v1+json")
    await layout.tag(made, `${REPOSITORY}:snap-wrong`)
    const error = await refusal(runtime.start({ manifest: `${REPOSITORY}:snap-wrong` }))
    expect([error.code, error.message]).toEqual([
      "OVM_SNAPSHOT_INVALID",
      expect.stringContaining("OVMS-SNP-133"),
    ])
  })
})
