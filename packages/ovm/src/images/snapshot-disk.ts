import type { Artifact } from "../artifact/machine/read.ts"
import type { Snapshot } from "../artifact/snapshot/read.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { chainOf, type LayerSource, virtualSizeOf } from "./machine.ts"
import type { PreparedSnapshot } from "./prepared.ts"

/**
 * A further disk as a snapshot has it, as files: on top of that of the base, which has `disks`. Throws
 * OVM_SNAPSHOT_INVALID for one that the base has not, OVM_DISK_INVALID (OVMS-SNP-178, OVMS-SNP-179), and as chainOf
 * does.
 */
export async function preparedDisk(
  source: LayerSource,
  disks: Artifact["disks"],
  { name, overlays }: Snapshot["disks"][number],
  call: Call,
): Promise<PreparedSnapshot["disks"][number]> {
  const { reference } = source
  const base = disks.find((disk) => disk.name === name)
  if (!base)
    throw new OvmError(
      "OVM_SNAPSHOT_INVALID",
      `${reference}: the snapshot has the disk ${name}, which its base has not [OVMS-SNP-178]`,
      { detail: { requirement: "OVMS-SNP-178" } },
    )
  const disk = { ...source, disk: `disk ${name}` }
  const below = await chainOf(disk, base.layers ?? [], call)
  const chain = await chainOf(disk, overlays, call, below)
  const [found, expected] = [virtualSizeOf(chain), base.size ?? virtualSizeOf(below)]
  if (found !== expected)
    throw new OvmError(
      "OVM_DISK_INVALID",
      `${reference}: the snapshot's disk ${name} has ${found} bytes, that of its base ${expected} [OVMS-SNP-179]`,
      { detail: { requirement: "OVMS-SNP-179" } },
    )
  return { name, layers: chain.files, overlays: overlays.map(({ descriptor }) => descriptor) }
}
