import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { counterDisk } from "../../artifact/counter.ts"
import { CLUSTER, count, emptyOverlay, qcow2Head } from "../../artifact/qcow2.ts"
import { must, skip } from "../../check.ts"
import { honoured, planOf, strange, Vmm } from "./machine.ts"
import type { AdapterPlan } from "./plan.ts"

const SIZE = 1 << 20
const SECTOR = 512
const COPIED = 1n << 63n

/** A qcow2 file in whose second sector, which is a cluster of its own, the counter has come to 4. */
function countedTo4(): Buffer {
  const bytes = qcow2Head(SIZE, 6, SECTOR)
  // One table leads to 64 clusters.
  bytes.writeUInt32BE(SIZE / SECTOR / 64, 36)
  bytes.writeBigUInt64BE(BigInt(4 * SECTOR) | COPIED, 3 * SECTOR)
  bytes.writeBigUInt64BE(BigInt(5 * SECTOR) | COPIED, 4 * SECTOR + 8)
  bytes.writeUInt8(4, 5 * SECTOR)
  count(bytes, 6, SECTOR)
  return bytes
}

/** A qcow2 file whose first cluster is said to be where none can be. */
function broken(): Buffer {
  const bytes = qcow2Head(SIZE, 5)
  bytes.writeBigUInt64BE(BigInt(4 * CLUSTER) | COPIED, 3 * CLUSTER)
  bytes.writeBigUInt64BE(BigInt(4 * CLUSTER + SECTOR) | COPIED, 4 * CLUSTER)
  count(bytes, 5)
  return bytes
}

export const adapterDiskPlans: readonly AdapterPlan[] = [
  {
    name: "layers-are-left-alone",
    covers: ["OVMS-ADP-050"],
    async run({ session, ...call }) {
      const { kernel: _, ...plan } = await planOf(call, "")
      // What they are called says nothing of what they are, and what the headers say is below them is not there.
      const contents: readonly (readonly [Buffer, string])[] = [
        [counterDisk(), "raw"],
        [countedTo4(), "qcow2"],
        [emptyOverlay(SIZE, "no-such-file.raw"), "qcow2"],
      ]
      const layers = contents.map(([, format], at) => ({
        path: join(call.folder, strange(`layer${at}`)),
        format,
      }))
      for (const [at, { path }] of layers.entries()) await writeFile(path, contents[at]?.[0] ?? "")
      const overlay = join(call.folder, strange("overlay"))
      const empty = emptyOverlay(SIZE, "no-such-file.qcow2")
      await writeFile(overlay, empty)
      const disk = { layers, overlay, size: SIZE, ephemeral: false }
      await honoured(session, { ...plan, disk }, ["kernel", "disk"])
      await Vmm.run(session, { ...plan, disk }, call, async (vmm) => {
        await session.ask("start", vmm.members)
        await vmm.says(/BOOT \d\n/)
        must(vmm.console.includes("BOOT 5"), "the disk is not what its layers are together")
        await session.ask("quit", vmm.members)
        await vmm.end()
      })
      for (const [at, { path }] of layers.entries())
        must(
          (await readFile(path)).equals(contents[at]?.[0] ?? Buffer.alloc(0)),
          `the guest's writes are in layer ${at}`,
        )
      must(!(await readFile(overlay)).equals(empty), "the overlay is empty")
    },
  },
  {
    name: "disk-that-cannot-be-read",
    covers: ["OVMS-ADP-035", "OVMS-ADP-037"],
    async run({ session, ...call }) {
      const [path, overlay] = [join(call.folder, "broken.qcow2"), join(call.folder, "overlay.qcow2")]
      await writeFile(path, broken())
      await writeFile(overlay, emptyOverlay(SIZE, "broken.qcow2"))
      const disk = { layers: [{ path, format: "qcow2" }], overlay, size: SIZE, ephemeral: false }
      const plan = await planOf(call, "read=1", { disk })
      await honoured(session, plan, ["disk"])
      await Vmm.run(session, plan, call, async (vmm) => {
        const { error } = await session.answer(session.send("start", vmm.members), "start")
        if (error) skip(`such a disk is not had: ${error.message}`)
        await vmm.says(/DISK-ID [^\r\n]*\r?\n/)
        const { running } = await session.ask("watch", vmm.members)
        if (running) await Promise.race([vmm.says(/SECTOR 1/), session.told(plan.directory, "io-error")])
        if (vmm.console.includes("SECTOR 1")) skip("the guest is told of what cannot be read, and goes on")
        const looked = await session.ask("watch", vmm.members)
        must(looked.running === false && looked.reason === "io-error", `watch says ${JSON.stringify(looked)}`)
        const code = await session.refused("resume", vmm.members)
        must(/^OVM_(NO_SPACE|VMM_FAILED)$/.test(code), `resume was answered with ${code}`)
        await session.ask("quit", vmm.members)
        await vmm.end()
      })
    },
  },
]
