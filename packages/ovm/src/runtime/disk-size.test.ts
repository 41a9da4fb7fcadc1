import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import type { Overrides } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

// A disk that is larger than its image's, through the lives of a machine, its snapshots and its images.

setDefaultTimeout(240_000)

const IMAGE = "localhost/tests/grow:1"
const SNAPSHOT = "localhost/tests/grow:s"
const DISK = 1 << 20
const LARGER = 3 << 20
const SECTORS = `DISK sectors=${LARGER / 512}`
/** Far behind the end of the image's disk. */
const FAR = 5000

let root: string
let runtime: LocalRuntime

function says(id: string, words: string): Promise<string> {
  const text = async () => Buffer.concat(await Array.fromAsync(await runtime.logs(id))).toString()
  return until(`${words} on the console`, text, { is: (said) => said.includes(words) })
}

async function started(manifest: string, overrides: Overrides = {}): Promise<string> {
  return (await runtime.start({ manifest, overrides })).instance_id
}

/** What it says in its next life, up to its first tick. */
async function again(id: string): Promise<string> {
  await runtime.startAgain(id)
  await until("it runs", () => runtime.status(id), { is: ({ state }) => state === "running" })
  return await says(id, "TICK")
}

async function stopped(id: string): Promise<void> {
  await runtime.stop({ instance_id: id, grace_ms: 0 })
  await until("it has ended", () => runtime.status(id), { is: ({ state }) => hasEnded(state) })
}

describe.skipIf(guestMissing !== "")(`a larger disk ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-disk-size-"))
    await writeFile(join(root, "disk.raw"), Buffer.alloc(DISK, 7))
    const layer = { path: join(root, "disk.raw"), format: "raw" as const }
    const args = `tick_ms=20 write=${FAR} read=${FAR} read=${FAR + 200}`
    await packGuest(join(root, "store"), IMAGE, args, { diskLayers: [layer] })
    await packGuest(join(root, "store"), "localhost/tests/none:1", "tick_ms=20")
    runtime = await openRuntime(root)
  })
  afterEach(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
  })
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-API-270, OVMS-DSK-048
  test("is what the guest sees, zeros behind its image's end, and again when it is started again", async () => {
    const id = await started(IMAGE, { diskSize: LARGER, args: `tick_ms=20 read=${FAR + 200} write=${FAR}` })
    expect(await says(id, `WROTE ${FAR}`)).toContain(SECTORS)
    expect(await says(id, "TICK")).toContain(`SECTOR ${FAR + 200} []`)
    await stopped(id)
    expect(await again(id)).toContain(SECTORS)
    // One that is only made has it from its first start on.
    const { instance_id } = await runtime.create({ manifest: IMAGE, overrides: { diskSize: LARGER } })
    expect(await again(instance_id)).toContain(SECTORS)
  })

  // OVMS-API-271
  test("that cannot be is refused by name, and nothing is made", async () => {
    for (const [manifest, overrides] of [
      [IMAGE, { diskSize: DISK - 512 }],
      [IMAGE, { diskSize: LARGER, readOnly: true }],
      ["localhost/tests/none:1", { diskSize: LARGER }],
    ] as const)
      for (const ask of [
        () => runtime.start({ manifest, overrides }),
        () => runtime.create({ manifest, overrides }),
      ])
        expect(await refusal(ask())).toMatchObject({
          code: "OVM_UNSUPPORTED",
          message: expect.stringMatching(/^diskSize: /),
          detail: [{ pointer: "diskSize" }],
        })
    expect(await runtime.list()).toEqual([])
    await started(IMAGE, { diskSize: DISK, readOnly: true })
  })

  // OVMS-SNP-036, OVMS-SNP-077
  test("goes with a snapshot, and is fixed in it", async () => {
    const id = await started(IMAGE, { diskSize: LARGER })
    await says(id, "TICK")
    await runtime.snapshot({ instance_id: id, tag: "s" })
    for (const request of [
      { manifest: SNAPSHOT, overrides: { diskSize: LARGER + 512 } },
      { manifest: IMAGE, overrides: { resume: true, diskSize: DISK } },
    ])
      expect(await refusal(runtime.start(request))).toMatchObject({
        code: "OVM_SNAPSHOT_INCOMPATIBLE",
        message: expect.stringMatching(new RegExp(`diskSize: the disk of .* has ${LARGER} bytes`)),
        detail: [{ field: "/overlays", snapshot: LARGER, host: request.overrides.diskSize }],
      })
    // A snapshot of a clone, too, whose disk has one more overlay.
    const clone = await started(SNAPSHOT, { diskSize: LARGER })
    await says(clone, "TICK")
    await runtime.snapshot({ instance_id: clone, tag: "t" })
    const second = await started("localhost/tests/grow:t")
    await says(second, "TICK")
    await stopped(second)
    // It boots from its disk now.
    const said = await again(second)
    expect(said).toContain(SECTORS)
    expect(said).toContain(`SECTOR ${FAR} [written by the guest]`)
  })

  test("is the disk of an image that is made of the machine", async () => {
    const id = await started(IMAGE, { diskSize: LARGER })
    await says(id, "TICK")
    await stopped(id)
    await runtime.commit(id, { name: "localhost/tests/grow:2" })
    const other = await started("localhost/tests/grow:2", { args: `tick_ms=20 read=${FAR}` })
    const said = await says(other, "TICK")
    expect(said).toContain(SECTORS)
    expect(said).toContain(`SECTOR ${FAR} [written by the guest]`)
    const smaller = { manifest: "localhost/tests/grow:2", overrides: { diskSize: DISK } }
    expect((await refusal(runtime.start(smaller))).code).toBe("OVM_UNSUPPORTED")
  })
})
