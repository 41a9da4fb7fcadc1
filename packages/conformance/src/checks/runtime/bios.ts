import { randomUUID } from "node:crypto"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { counterDisk, NO_END } from "../../artifact/counter.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { artifactOf } from "../../artifact/make.ts"
import { must } from "../../check.ts"
import { digestOf } from "../../registry/content.ts"
import type { Runtime } from "../../subject/runtime.ts"
import type { Plan, Scene } from "./plan.ts"

/** A machine without a kernel, whose disk counts; its layout, and the path of the disk's blob. */
async function machine({ folder }: Scene): Promise<{ layout: string; blob: string }> {
  const layout = await writeLayout(
    join(folder, "bios"),
    artifactOf({ kernelless: true, disk: counterDisk() }),
  )
  return { layout, blob: join(layout, "blobs/sha256", digestOf(counterDisk()).slice(7)) }
}

/** Waits until the console ends with a line without an end, byte for byte. */
async function saysNoEnd(runtime: Runtime, id: string): Promise<void> {
  let bytes: Buffer = Buffer.alloc(0)
  const said = async () => `the console ends with ${bytes.subarray(-NO_END.length).toString("hex")}`
  await runtime.until(
    async () => `${await said()}, and not with the bytes ${NO_END.toString("hex")}`,
    async () => {
      bytes = (await runtime.raw("GET", `/logs/${id}`)).bytes
      return bytes.subarray(-NO_END.length).equals(NO_END)
    },
    10_000,
  )
}

export const biosPlans: readonly Plan[] = [
  {
    name: "boots-from-its-disk",
    covers: [
      "OVMS-MAN-026",
      "OVMS-GST-012",
      "OVMS-DSK-006",
      "OVMS-STA-028",
      "OVMS-GST-030",
      "OVMS-API-070",
      "OVMS-API-240",
    ],
    async run(scene) {
      const { runtime, start } = scene
      const { layout, blob } = await machine(scene)
      const id = await start({ manifest: layout })
      await runtime.says(id, /BOOT 1\n/)
      const query = `attachment=${randomUUID()}`
      const attached = runtime.raw("GET", `/instances/${id}/attach`, { query })
      await saysNoEnd(runtime, id)
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
      await runtime.reaches(id, "stopped")
      must((await attached).bytes.includes(NO_END), "who is attached is not sent the bytes of the console")
      await runtime.ask("POST /instances/{instance_id}/start", id)
      await runtime.says(id, /BOOT 2\n/)
      must((await readFile(blob)).equals(counterDisk()), "the guest's writes are in the layer")
      const other = await start({ manifest: layout })
      await runtime.says(other, /BOOT 1\n/)
    },
  },
  {
    name: "read-only-disk",
    covers: ["OVMS-API-036", "OVMS-DSK-006", "OVMS-GST-031"],
    async run(scene) {
      const { runtime, start } = scene
      const { layout, blob } = await machine(scene)
      const id = await start({ manifest: layout, overrides: { readOnly: true } })
      await runtime.says(id, /FIXED\n/)
      must((await readFile(blob)).equals(counterDisk()), "the guest's writes are in the layer")
      const { disks } = await runtime.status(id)
      must(
        isDeepStrictEqual(disks, [{ size: 1 << 20, read_only: true }]),
        `disks is ${JSON.stringify(disks)}`,
      )
    },
  },
]
