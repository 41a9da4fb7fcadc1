import { writeFurther } from "../artifact/machine/further.ts"
import { readArtifact } from "../artifact/machine/read.ts"
import { isSnapshot, readSnapshot } from "../artifact/snapshot/read.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Call } from "../content/interfaces.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { OvmError } from "../errors.ts"
import { chainOf } from "./machine.ts"
import { preparedDisk } from "./snapshot-disk.ts"

/**
 * Stores the machine whose snapshot `reference` stands for as it was at that instant, without its RAM: the image that
 * it was taken of, with the snapshot's overlays as further layers. Nothing of a disk is copied, and the same snapshot
 * gives the same image. It has no name yet; `size` is that of the layers, in bytes. Throws OVM_NAME_UNKNOWN,
 * OVM_UNSUPPORTED for what is no snapshot or has no overlay, and what reading and checking its content throws.
 */
export async function commitSnapshot(
  store: LayoutStore,
  reference: string,
  call: Call = {},
): Promise<{ readonly descriptor: Descriptor; readonly size: number }> {
  const target = await store.resolve(reference, call)
  if (!(await isSnapshot(store, target, call)))
    throw new OvmError("OVM_UNSUPPORTED", `${reference} is neither a machine's instance nor a snapshot`, {
      detail: [{ pointer: "/instance", reason: "an image is one already" }],
      hint: `ovm tag ${reference} NAME gives an image another name`,
    })
  const { base, overlays, disks, snapshot } = await readSnapshot(store, target, call)
  if (overlays.length === 0 && disks.length === 0)
    throw new OvmError("OVM_UNSUPPORTED", `${reference} has no disk that its guest could write to`, {
      detail: [{ pointer: "/instance", reason: "nothing was written" }],
    })
  const machine = await readArtifact(store, base, call)
  const below = await chainOf({ store, reference }, machine.layers, call)
  await chainOf({ store, reference }, overlays, call, below)
  await Promise.all(disks.map((written) => preparedDisk({ store, reference }, machine.disks, written, call)))
  const blobs = (chain: typeof overlays) => chain.map(({ descriptor }) => descriptor)
  const added = blobs(overlays)
  const further = new Map(disks.map(({ name, overlays }) => [name, blobs(overlays)]))
  const additions = { added, disks: further, created: snapshot.created }
  const { descriptor } = await writeFurther(store, machine, additions, call)
  const all = [added, ...further.values()].flat()
  return { descriptor, size: all.reduce((sum, { size }) => sum + size, 0) }
}
