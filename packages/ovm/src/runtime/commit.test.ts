import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync, statSync } from "node:fs"
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { qemuImg, refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { readArtifact } from "../artifact/machine/read.ts"
import { hexOf } from "../content/digest.ts"
import { collectGarbage } from "../content/layout/gc.ts"
import { openLayout } from "../content/layout/store.ts"
import type { InstanceInfo, Overrides } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { imagesBelow, openRuntime } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

const IMAGE = "localhost/tests/commit:1"
const MADE = "localhost/tests/commit:2"
const DISK = 64 << 20

let root: string
let runtime: LocalRuntime
const store = () => join(root, "store")
const folder = (id: string) => join(root, "instances", id)

function reach(id: string, what: string, is: (info: InstanceInfo) => boolean): Promise<InstanceInfo> {
  return until(what, () => runtime.status(id), { is })
}

async function ticking(id: string): Promise<string> {
  const text = async () => Buffer.concat(await Array.fromAsync(await runtime.logs(id))).toString()
  return await until("a tick", text, { is: (text) => text.includes("TICK 2") })
}

async function started(manifest: string, overrides: Overrides = {}): Promise<string> {
  const { instance_id: id } = await runtime.start({ manifest, overrides })
  await reach(id, "it runs", ({ state }) => state === "running" || hasEnded(state))
  await ticking(id)
  return id
}

async function stopped(id: string): Promise<void> {
  await runtime.stop({ instance_id: id, grace_ms: 0 })
  await reach(id, "it has ended", ({ state }) => hasEnded(state))
}

const blobs = () => readdirSync(join(store(), "blobs", "sha256")).length

describe.skipIf(guestMissing !== "")(`a commit ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-commit-"))
    await writeFile(join(root, "disk.raw"), Buffer.alloc(DISK, 7))
    const layer = { path: join(root, "disk.raw"), format: "raw" as const }
    await packGuest(store(), IMAGE, "tick_ms=20 write=3", { diskLayers: [layer] })
    runtime = await openRuntime(root)
  })
  afterEach(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
  })
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-API-190, OVMS-API-194
  test("has what was written before and after a snapshot, over two lives, and can be committed again", async () => {
    const id = await started(IMAGE)
    await runtime.snapshot({ instance_id: id, tag: "s" })
    await stopped(id)
    await runtime.startAgain(id)
    await ticking(id)
    await stopped(id)
    // As what was pulled is, of which nobody knows that it is on the disk.
    const stamps = join(store(), "ovm/verified")
    for (const stamp of await readdir(stamps)) await rm(join(stamps, stamp))
    const made = await runtime.commit(id, { name: MADE })
    expect(made.reference).toBe(MADE)
    await using layout = await openLayout(store())
    const base = await layout.resolve(IMAGE)
    const artifact = await readArtifact(layout, await layout.resolve(MADE))
    for (const { digest } of [artifact.descriptor, artifact.oci.config, ...artifact.oci.layers])
      expect(await readFile(join(stamps, hexOf(digest)), "utf8")).toEndWith(" synced\n")
    expect<string>(artifact.descriptor.digest).toBe(made.digest)
    expect(artifact.layers).toHaveLength(2)
    expect(artifact.oci.annotations?.["org.opencontainers.image.base.digest"]).toBe(base.digest)
    // The instance goes on as it was, on its own image.
    await runtime.startAgain(id)
    await ticking(id)
    await runtime.remove(id, { force: true })
    const other = await started(MADE, { args: "tick_ms=20 write=9 read=3 read=9" })
    expect(await ticking(other)).toContain("SECTOR 3 [written by the guest]")
    await stopped(other)
    await runtime.commit(other, { name: "localhost/tests/commit:3" })
    const third = await started("localhost/tests/commit:3", { args: "tick_ms=20 read=3 read=9" })
    for (const sector of [3, 9])
      expect(await ticking(third)).toContain(`SECTOR ${sector} [written by the guest]`)
  })

  test("nobody collects it before it has its name, and nothing holds it but that", async () => {
    const id = await started(IMAGE)
    await stopped(id)
    await runtime.close()
    const images = await imagesBelow(root)
    const name = images.nameCommit.bind(images)
    images.nameCommit = async (...all) => {
      await collectGarbage(store())
      await name(...all)
    }
    runtime = await openRuntime(root, { images })
    const { digest } = await runtime.commit(id, { name: MADE })
    await using layout = await openLayout(store())
    const { layers } = await readArtifact(layout, await layout.resolve(MADE))
    for (const { descriptor } of layers) expect(await layout.exists(descriptor)).toBe(true)
    expect((await layout.leases()).flatMap(({ digests }) => digests)).not.toContain(digest)
  })

  test("goes on top of another where that says nothing that it has not written [OVMS-BLD-002, OVMS-BLD-003]", async () => {
    const few = await started(IMAGE)
    await stopped(few)
    await runtime.commit(few, { name: MADE })
    const more = await started(IMAGE, { args: "tick_ms=20 write=3 write=900" })
    await stopped(more)
    const onto = "localhost/tests/commit:onto"
    await runtime.commit(more, { name: onto, onto: MADE })
    await using layout = await openLayout(store())
    const layersOf = async (name: string) => (await readArtifact(layout, await layout.resolve(name))).layers
    expect((await layersOf(onto)).slice(0, -1)).toEqual([...(await layersOf(MADE))])
    const last = await started(onto, { args: "tick_ms=20 read=3 read=900" })
    for (const sector of [3, 900])
      expect(await ticking(last)).toContain(`SECTOR ${sector} [written by the guest]`)
    // What the lower one says of the second cluster would show through.
    const bad = { name: "localhost/tests/commit:bad", onto }
    expect((await refusal(runtime.commit(few, bad))).code).toBe("OVM_BASE_MISMATCH")
    expect((await refusal(runtime.commit(few, { ...bad, onto: "localhost/none:1" }))).code).toBe(
      "OVM_NAME_UNKNOWN",
    )
    expect((await refusal(layout.resolve(bad.name))).code).toBe("OVM_NAME_UNKNOWN")
  })

  // OVMS-API-193
  test("of a paused machine has what it wrote until then; one that runs is refused", async () => {
    const id = await started(IMAGE, { args: "tick_ms=20 write=9" })
    expect((await refusal(runtime.commit(id, { name: MADE }))).code).toBe("OVM_STATE_CONFLICT")
    await runtime.pause(id)
    const committing = runtime.commit(id, { name: MADE })
    for (const refused of [runtime.resume(id), runtime.commit(id, { name: MADE })])
      expect((await refusal(refused)).code).toBe("OVM_STATE_CONFLICT")
    await committing
    await runtime.resume(id)
    const other = await started(MADE, { args: "tick_ms=20 read=9" })
    expect(await ticking(other)).toContain("SECTOR 9 [written by the guest]")
    await runtime.remove(other, { force: true })
    // A stop is done as any other; the commit is none then.
    await runtime.pause(id)
    const late = refusal(runtime.commit(id, { name: "localhost/tests/commit:late" }))
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    expect((await late).code).toBe("OVM_STATE_CONFLICT")
  })

  // OVMS-API-192
  test.skipIf(!qemuImg.present)(
    `of one percent of a disk moves little more, and nothing that is there already ${qemuImg.note}`,
    async () => {
      const id = await started(IMAGE)
      await stopped(id)
      const overlay = join(folder(id), "overlay.qcow2")
      qemuImg.io(overlay, `write -P 5 ${8 << 20} ${Math.floor(DISK / 100 / 65536) * 65536}`)
      qemuImg.io(overlay, `write -P 7 ${16 << 20} ${16 << 20}`)
      expect(statSync(overlay).size).toBeGreaterThan(16 << 20)
      const { size } = await runtime.commit(id, { name: MADE })
      // A disk as small as this one has five clusters of tables beside.
      expect(size - 6 * 65536).toBeLessThan(0.013 * DISK)
    },
  )

  test("of a machine that is removed meanwhile is refused for that", async () => {
    for (const ms of [0, 3, 9]) {
      const id = await started(IMAGE)
      await runtime.pause(id)
      const committed = runtime.commit(id, { name: MADE }).then(
        () => "committed",
        ({ code }) => code,
      )
      await Bun.sleep(ms)
      await runtime.remove(id, { force: true })
      // Later than at once it may be getting its name already, and then stands.
      const right = ms === 0 ? ["OVM_STATE_CONFLICT"] : ["OVM_STATE_CONFLICT", "committed"]
      expect(right).toContain(await committed)
    }
  })

  test("that cannot be leaves no name, no file and no content", async () => {
    const id = await started(IMAGE)
    await stopped(id)
    const before = blobs()
    expect((await refusal(runtime.commit(id, { name: "No Name" }))).code).toBe("OVM_REFERENCE_INVALID")
    const signal = AbortSignal.abort(new Error("enough"))
    await refusal(runtime.commit(id, { name: "localhost/tests/none:1" }, { signal })).catch(() => {})
    expect(blobs()).toBe(before)
    expect(readdirSync(folder(id)).filter((name) => name.startsWith("commit-"))).toEqual([])
    await using layout = await openLayout(store())
    expect((await refusal(layout.resolve("localhost/tests/none:1"))).code).toBe("OVM_NAME_UNKNOWN")
    // Of one that was cut off, the next daemon sweeps the file.
    await writeFile(join(folder(id), "commit-0a1b2c3d.qcow2"), "half")
    await runtime.close()
    runtime = await openRuntime(root)
    await until("it is swept", () => !readdirSync(folder(id)).some((name) => name.startsWith("commit-")))
    const readOnly = await started(IMAGE, { readOnly: true })
    await stopped(readOnly)
    expect((await refusal(runtime.commit(readOnly, { name: MADE }))).code).toBe("OVM_UNSUPPORTED")
  })
})
