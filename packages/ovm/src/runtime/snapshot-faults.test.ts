import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { watch } from "node:fs"
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { lockLikeQemu } from "@ovms/testkit/ofd-lock.ts"
import { processesIn } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { canonicalJson } from "../artifact/canonical.ts"
import type { SnapshotDescriptor } from "../artifact/snapshot/descriptor.ts"
import { readSnapshot } from "../artifact/snapshot/read.ts"
import type { Descriptor } from "../content/descriptor.ts"
import { digestOf } from "../content/digest.ts"
import { type LayoutStore, openLayout } from "../content/layout/store.ts"
import { OCI_MANIFEST } from "../content/manifest.ts"
import { bytesOf, fetchAll } from "../content/read.ts"
import { createOverlay } from "../disk/overlay.ts"
import { openImages } from "../images/images.ts"
import { Policy } from "../signing/policy/policy.ts"
import { availableVmms } from "../vmm/available.ts"
import type { InstanceInfo } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

// Snapshots that cannot be taken, and such that cannot be resumed: told by a code, and nothing is harmed.

let root: string
let runtime: LocalRuntime
const store = () => join(root, "store")

async function open(): Promise<LocalRuntime> {
  return openRuntime(root)
}

function settled(id: string): Promise<InstanceInfo> {
  return until(`${id} has settled`, () => runtime.status(id), {
    is: ({ state }) => state === "running" || hasEnded(state),
  })
}

async function ticking(manifest: string): Promise<string> {
  const { instance_id } = await runtime.start({ manifest })
  await ticks(instance_id)
  return instance_id
}

async function ticks(id: string, more = 1): Promise<void> {
  const count = async () =>
    (
      Buffer.concat(await Array.fromAsync(await runtime.logs(id)))
        .toString()
        .match(/TICK/g) ?? []
    ).length
  const before = await count()
  await until(`${more} more ticks`, count, { is: (now) => now >= before + more })
}

async function push(layout: LayoutStore, bytes: Uint8Array, mediaType: string): Promise<Descriptor> {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length }
  await layout.push(descriptor, bytesOf(bytes))
  return descriptor
}

/**
 * The snapshot "guest:warm" with other bytes in place of its device state or overlay, all digests right, called `name`.
 */
async function withPart(
  name: string,
  part: "state" | "overlay",
  change: (bytes: Buffer) => Uint8Array,
): Promise<void> {
  await using layout = await openLayout(store())
  const warm = await readSnapshot(layout, await layout.resolve("localhost/tests/guest:warm"))
  const { snapshot, oci } = warm
  const old = part === "state" ? warm.state : warm.overlays[0]?.descriptor
  if (!old) throw new Error("the snapshot has no overlay")
  const bytes = change(Buffer.from(await fetchAll(layout, old, old.size)))
  const { annotations } = old
  const other = { ...(await push(layout, bytes, old.mediaType)), ...(annotations && { annotations }) }
  const changed =
    part === "state"
      ? { state: { ref: other.digest } }
      : { overlays: [{ ref: other.digest, format: "qcow2" as const, size: other.size }] }
  const descriptor: SnapshotDescriptor = { ...snapshot, ...changed }
  const config = await push(layout, canonicalJson(descriptor), oci.config.mediaType)
  const layers = oci.layers.map((layer) => (layer.digest === old.digest ? other : layer))
  await layout.tag(await push(layout, canonicalJson({ ...oci, config, layers }), OCI_MANIFEST), name)
}

describe.skipIf(guestMissing !== "")(`snapshots that fail ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-faults-"))
    const disk = join(root, "disk.raw")
    await writeFile(disk, Buffer.alloc(1 << 20))
    const more = { diskLayers: [{ path: disk, format: "raw" as const }] }
    await packGuest(store(), "localhost/tests/guest:1", "tick_ms=20 hlt=1 write=3", more)
    runtime = await open()
    const id = await ticking("localhost/tests/guest:1")
    await runtime.snapshot({ instance_id: id, tag: "warm" })
    await runtime.remove(id, { force: true })
  })
  afterEach(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
  })
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  test("an overlay that is smaller than the base's disk is refused before anything starts (OVMS-SNP-036)", async () => {
    const file = join(root, "narrow.qcow2")
    await createOverlay(file, 1 << 19)
    const bytes = await readFile(file)
    const manifest = "localhost/tests/guest:narrow"
    await withPart(manifest, "overlay", () => bytes)
    const error = await refusal(runtime.start({ manifest }))
    expect([error.code, error.message]).toEqual([
      "OVM_DISK_INVALID",
      expect.stringContaining(`${1 << 19} bytes`),
    ])
    expect(await runtime.list()).toEqual([])
  })

  // OVMS-API-103
  test("a device state that is not one, by digest all right, ends in an error and nothing else", async () => {
    const states: [string, (bytes: Buffer) => Uint8Array][] = [
      ["empty", () => Buffer.alloc(0)],
      ["noise", (bytes) => Buffer.from(bytes.map((byte, at) => byte ^ (at * 31)))],
      ["short", (bytes) => bytes.subarray(0, bytes.length - 100)],
      ["long", (bytes) => Buffer.concat([bytes, Buffer.from("and more")])],
      // What the parser lets pass, QEMU itself refuses, aborts on, or takes; a hang or a trace would be wrong.
      ...Array.from({ length: 6 }, (_, n): [string, (bytes: Buffer) => Uint8Array] => [
        `flip${n}`,
        (bytes) => bytes.fill((bytes[3000 + 7919 * n] ?? 0) ^ 0xff, 3000 + 7919 * n, 3064 + 7919 * n),
      ]),
    ]
    let failures = 0
    for (const [what, change] of states) {
      const name = `localhost/tests/guest:${what}`
      await withPart(name, "state", change)
      const { instance_id } = await runtime.start({ manifest: name })
      const { state, error } = await settled(instance_id)
      if (state !== "running") {
        failures++
        expect([what, state]).toEqual([what, "failed"])
        expect(["OVM_VMM_FAILED", "OVM_SIZE_MISMATCH"]).toContain(error?.code ?? "")
        expect(error?.message).not.toMatch(/\n\s+at /)
        expect(processesIn(join(root, "instances", instance_id))).toEqual([])
        expect((await refusal(runtime.snapshot({ instance_id, tag: "x" }))).code).toBe("OVM_STATE_CONFLICT")
        const slot = await refusal(runtime.warm({ manifest: name, slots: 1 }))
        expect([what, slot.code]).toEqual([what, error?.code ?? "OVM_INTERNAL"])
        expect((await runtime.info()).warm).toEqual([])
      }
      await runtime.remove(instance_id, { force: true })
    }
    expect(failures).toBeGreaterThanOrEqual(4)
    expect(await readdir(join(root, "instances"))).toEqual([])
    await ticks(await ticking("localhost/tests/guest:warm"))
  })

  test("two at once: one is taken, the other refused by name", async () => {
    const id = await ticking("localhost/tests/guest:1")
    const first = runtime.snapshot({ instance_id: id, tag: "one" })
    const error = await refusal(runtime.snapshot({ instance_id: id, tag: "two" }))
    expect([error.code, error.message]).toEqual(["OVM_STATE_CONFLICT", expect.stringContaining(id)])
    expect((await first).snapshot_ref).toMatch(/^sha256:/)
    await runtime.snapshot({ instance_id: id, tag: "two" })
  })

  // OVMS-SNP-143, OVMS-SNP-144
  test("a disk with as many overlays as a snapshot may have is refused before anything is changed", async () => {
    const id = await ticking("localhost/tests/guest:1")
    await runtime.close()
    const path = join(root, "instances", id, "instance.json")
    const record = JSON.parse(await readFile(path, "utf8"))
    const overlays = Array.from({ length: 64 }, (_, at) => `overlay-${at}.qcow2`)
    await writeFile(path, JSON.stringify({ ...record, lineage: { ...record.lineage, overlays } }))
    runtime = await open()
    await settled(id)
    const before = await readdir(join(root, "instances", id))
    const error = await refusal(runtime.snapshot({ instance_id: id, tag: "deep" }))
    expect([error.code, error.message]).toEqual(["OVM_TOO_MANY", expect.stringContaining("64 overlays")])
    expect(await readdir(join(root, "instances", id))).toEqual(before)
    await ticks(id)
  })

  // OVMS-API-145
  test("a stop, or a removal, wins whenever it comes", async () => {
    let given = 0
    for (const [ms, remove] of [
      [0, false],
      [10, false],
      [30, true],
      [60, false],
      [90, true],
      [120, false],
    ] as const) {
      const id = await ticking("localhost/tests/guest:1")
      const taking = runtime
        .snapshot({ instance_id: id, tag: `stopped${ms}` })
        .catch((thrown: unknown) => thrown)
      await Bun.sleep(ms)
      if (remove) await runtime.remove(id, { force: true })
      else await runtime.stop({ instance_id: id, grace_ms: 0 })
      const result = await taking
      if (result instanceof Error) {
        given++
        expect(result).toMatchObject({
          code: "OVM_STATE_CONFLICT",
          message: expect.stringContaining("stopped"),
        })
        await using layout = await openLayout(store())
        const tag = refusal(layout.resolve(`localhost/tests/guest:stopped${ms}`))
        expect((await tag).code).toBe("OVM_NAME_UNKNOWN")
      }
      if (remove) continue
      await until("it has stopped", () => runtime.status(id), { is: ({ state }) => state === "stopped" })
      const left = (await readdir(join(root, "instances", id))).filter((name) => name.startsWith("snapshot"))
      expect(left.filter((name) => /ram|state/.test(name))).toEqual([])
      await runtime.remove(id)
    }
    expect(given).toBeGreaterThan(0)
    expect(await readdir(join(root, "instances"))).toEqual([])
  })

  // OVMS-SNP-142, OVMS-SNP-143
  test("a machine that cannot go on is paused for that reason, and runs once it can", async () => {
    const id = await ticking("localhost/tests/guest:1")
    const directory = join(root, "instances", id)
    // When the VMM opens the overlay and when it asks for it again is not told outside, and another time on each host:
    // one that came before the first is followed by a later one, and one that came behind the second by an earlier one.
    let [paused, ms, step] = [false, 1, 1]
    for (let round = 0; !paused && round < 60; round++) {
      const locked = new Promise<() => void>((resolve) => {
        const watcher = watch(directory, (_, name) => {
          if (!name?.startsWith("overlay-")) return
          watcher.close()
          setTimeout(() => resolve(lockLikeQemu(join(directory, name))), ms)
        })
      })
      const result = await runtime
        .snapshot({ instance_id: id, tag: "held" })
        .catch((thrown: unknown) => thrown)
      if (result instanceof Error)
        expect(result).toMatchObject({ code: "OVM_STATE_CONFLICT", message: expect.stringContaining("lock") })
      const { state, reason } = await runtime.status(id)
      paused = state === "paused"
      expect([state, reason]).toEqual(paused ? ["paused", "snapshot"] : ["running", undefined])
      ;(await locked)()
      expect(await runtime.status(id)).toMatchObject({ state: "running" })
      const way = result instanceof Error ? 1 : -1
      step = Math.sign(step) === way ? 2 * step : -step / 4
      ms = Math.max(0, ms + step)
      await ticks(id, 3)
    }
    expect(paused).toBe(true)
    expect((await readdir(directory)).filter((name) => name.startsWith("snapshot"))).toEqual([])
    expect((await runtime.snapshot({ instance_id: id, tag: "later" })).snapshot_ref).toMatch(/^sha256:/)
  })

  // OVMS-API-058
  test("a VMM that is killed in the middle fails the snapshot, and a later one of it is refused", async () => {
    for (const ms of [0, 10, 40]) {
      const before = await readdir(join(store(), "blobs/sha256"))
      const id = await ticking("localhost/tests/guest:1")
      const [pid] = (await readFile(join(root, "instances", id, "pid"), "utf8")).split(" ")
      const taking = runtime
        .snapshot({ instance_id: id, tag: `killed${ms}` })
        .catch((thrown: unknown) => thrown)
      await Bun.sleep(ms)
      process.kill(Number(pid), "SIGKILL")
      const result = await taking
      await until("it has failed", () => runtime.status(id), { is: ({ state }) => state === "failed" })
      if (result instanceof Error) {
        expect(result).toMatchObject({ code: "OVM_VMM_FAILED" })
        expect(await readdir(join(store(), "blobs/sha256"))).toEqual(before)
        await using layout = await openLayout(store())
        const tag = refusal(layout.resolve(`localhost/tests/guest:killed${ms}`))
        expect((await tag).code).toBe("OVM_NAME_UNKNOWN")
      }
      expect((await refusal(runtime.snapshot({ instance_id: id, tag: "x" }))).code).toBe("OVM_STATE_CONFLICT")
      await runtime.remove(id, { force: true })
    }
  })

  const mounted = spawnSync("unshare", ["-m", "true"]).status === 0 ? "" : "(skipped: no mounts here)"
  test.skipIf(mounted !== "")(
    `a store or a machine's folder that is full: the machine goes on ${mounted}`,
    async () => {
      // The folders are file systems of their own, with room for the machine and not for its snapshot.
      for (const [full, size] of [
        ["store", 1 << 20],
        ["instances", 1 << 20],
      ] as const) {
        const home = join(root, `full-${full}`)
        await mkdir(join(home, full), { recursive: true })
        expect(
          spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", join(home, full)]).status,
        ).toBe(0)
        const before = runtime
        try {
          const disk = join(root, "disk.raw")
          const more = { diskLayers: [{ path: disk, format: "raw" as const }] }
          await packGuest(
            join(home, "store"),
            "localhost/tests/full:1",
            "tick_ms=20 hlt=1 write=3",
            full === "store" ? {} : more,
          )
          runtime = await openRuntime(home, { vmms: availableVmms(join(root, "cache")) })
          const id = await ticking("localhost/tests/full:1")
          const filler = join(home, full, "filler")
          spawnSync("dd", ["if=/dev/zero", `of=${filler}`, "bs=4096"])
          const blobs = await readdir(join(home, "store/blobs/sha256"))
          const error = await refusal(runtime.snapshot({ instance_id: id, tag: "x" }))
          expect([full, error.code, error.message]).toEqual([full, "OVM_NO_SPACE", expect.any(String)])
          expect(await readdir(join(home, "store/blobs/sha256"))).toEqual(blobs)
          expect(await readdir(join(home, "store/ovm/ingest"))).toEqual([])
          expect(
            (await readdir(join(home, "instances", id))).filter((name) => name.startsWith("snapshot")),
          ).toEqual([])
          expect((await runtime.status(id)).state).toBe("running")
          await rm(filler)
          await ticks(id, 3)
          spawnSync("mount", ["-o", "remount,size=64m", join(home, full)])
          await runtime.snapshot({ instance_id: id, tag: "x" })
          await runtime.remove(id, { force: true })
          await ticks(await ticking("localhost/tests/full:x"))
          for (const { instance_id } of await runtime.list())
            await runtime.remove(instance_id, { force: true })
          await runtime.close()
        } finally {
          runtime = before
          spawnSync("umount", ["-l", join(home, full)])
        }
      }
    },
  )

  // OVMS-SNP-075
  test("on another base than its own, or without it, it is not resumed, whatever is asked for", async () => {
    await packGuest(store(), "another:1", "tick_ms=21 hlt=1")
    {
      await using layout = await openLayout(store())
      const { snapshot, oci } = await readSnapshot(layout, await layout.resolve("localhost/tests/guest:warm"))
      const { mediaType, digest, size } = await layout.resolve("another:1")
      const moved = { ...oci, subject: { mediaType, digest, size } }
      await layout.tag(await push(layout, canonicalJson(moved), OCI_MANIFEST), "moved:1")
      const gone = digestOf("gone")
      const descriptor = { ...snapshot, base: { ...snapshot.base, digest: gone } }
      const config = await push(layout, canonicalJson(descriptor), oci.config.mediaType)
      const alone = { ...oci, config, subject: { mediaType, digest: gone, size } }
      await layout.tag(await push(layout, canonicalJson(alone), OCI_MANIFEST), "alone:1")
    }
    const overrides = { resume: true, coldBootOnMismatch: true }
    for (const [manifest, code] of [
      ["moved:1", "OVM_BASE_MISMATCH"],
      ["alone:1", "OVM_CONTENT_MISSING"],
    ] as const) {
      const error = await refusal(runtime.start({ manifest, overrides }))
      expect([manifest, error.code]).toEqual([manifest, code])
    }
    expect(await readdir(join(root, "instances"))).toEqual([])
  })

  // The last one, since it leaves a store that is damaged. OVMS-SNP-060, OVMS-SNP-062, OVMS-SNP-066
  test("whatever of it was changed on disk is found before a VMM opens it", async () => {
    const name = "localhost/tests/guest:warm"
    const parts = async () => {
      await using layout = await openLayout(store())
      const target = await layout.resolve(name)
      const { oci } = await readSnapshot(layout, target)
      return [...oci.layers, oci.config, target]
    }
    for (const { digest, mediaType } of await parts()) {
      const file = join(store(), "blobs/sha256", digest.slice(7))
      const whole = await readFile(file)
      await chmod(file, 0o600)
      await writeFile(file, whole.with(-1, (whole.at(-1) ?? 0) ^ 1))
      // With an empty cache: RAM that is inflated already needs neither its blob nor the table.
      const cache = join(root, "empty", digest.slice(7))
      const images = await openImages(store(), cache, new Policy(join(root, "policy.json")))
      const prepared = async () => {
        const opened = await images.open(name, { lease: "x", pull: "never" })
        try {
          if (opened.snapshot) await opened.resume(opened.snapshot)
        } finally {
          await opened.close()
        }
      }
      const error = await refusal(prepared())
      expect([mediaType, error.code, error.message]).toEqual([
        mediaType,
        "OVM_DIGEST_MISMATCH",
        expect.stringContaining(digest),
      ])
      await writeFile(file, whole)
    }
  })
})
