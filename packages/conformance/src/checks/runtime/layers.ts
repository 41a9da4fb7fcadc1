import { join } from "node:path"
import { guestArtifact } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { type Artifact, withLayers } from "../../artifact/make.ts"
import { emptyOverlay } from "../../artifact/qcow2.ts"
import { must } from "../../check.ts"
import { digestOf } from "../../registry/content.ts"
import type { Plan } from "./plan.ts"
import { said } from "./said.ts"

// Layers as the guest sees them put together.

const MIB = 1 << 20
const typeOf = (format: "raw" | "qcow2") => `application/vnd.ovms.disk.v1+${format}`

const layer = (format: "raw" | "qcow2", bytes: Buffer) => ({
  ref: digestOf(bytes),
  format,
  size: bytes.length,
})

/** A disk that says its name in its first sector, and in its last one. */
function base(): Buffer {
  const bytes = Buffer.alloc(MIB)
  for (const at of [0, MIB - 512]) bytes.write("of the base", at)
  return bytes
}

/** The suite's guest with a raw disk of a MiB, on top of that an empty overlay of so many bytes, and a further disk. */
function layered(size: number): Artifact {
  const [bottom, top] = [base(), emptyOverlay(size, "/etc/hostname")]
  // Raw, whatever it looks like.
  const odd = emptyOverlay(8 * MIB, "/etc/hostname")
  const document = {
    diskLayers: [layer("raw", bottom), layer("qcow2", top)],
    disks: [{ name: "odd", readOnly: true, layers: [layer("raw", odd)] }],
  }
  return withLayers(guestArtifact(undefined, { document }), [
    [typeOf("raw"), bottom],
    [typeOf("qcow2"), top],
    [typeOf("raw"), odd],
  ])
}

export const layerPlans: readonly Plan[] = [
  {
    name: "layers-of-a-disk",
    covers: [
      "OVMS-DSK-001",
      "OVMS-DSK-003",
      "OVMS-DSK-004",
      "OVMS-DSK-007",
      "OVMS-DSK-008",
      "OVMS-DSK-041",
      "OVMS-DSK-048",
      "OVMS-GST-031",
    ],
    async run(scene) {
      const { runtime, folder } = scene
      const manifest = await writeLayout(join(folder, "layered"), layered(2 * MIB))
      const { text } = await said(scene, manifest, "read=0 read=2047 read=2048 write=7 read=7")
      must(text.includes("DISK sectors=4096\r\n"), "the disk has not the size of its last layer")
      for (const sector of [0, 2047])
        must(text.includes(`SECTOR ${sector} [of the base]`), `sector ${sector} is not that of the base`)
      must(text.includes("SECTOR 2048 []"), "what lies beyond the end of the base is not zeros")
      must(text.includes("SECTOR 7 [written"), "what the guest has written is not there")
      const odd = await said(scene, manifest, "dump=0 write=7 disk=2")
      must(
        odd.text.includes("DISK sectors=512\r\n") && odd.text.includes("DUMP 0 [QFI."),
        "a layer that is declared raw is not read as raw",
      )
      must(!odd.text.includes("WROTE 7 [written"), "the guest writes to a disk that is readOnly")
      const small = await writeLayout(join(folder, "small"), layered(MIB / 2))
      await runtime.refused("POST /start", "OVM_DISK_INVALID", "", { body: { manifest: small } })
    },
  },
]
