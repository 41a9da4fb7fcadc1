import type { DiskBlob } from "../../artifact/machine/mapping.ts"
import { type Artifact, readArtifact } from "../../artifact/machine/read.ts"
import { isSnapshot, readInlineSnapshot, readSnapshot, type Snapshot } from "../../artifact/snapshot/read.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import type { Call, Fetcher, LocalFile } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import { kernelVersion } from "../../kernel.ts"
import type { LayerFile } from "./disk/flatten.ts"
import { type DiskContent, type Installed, scanDisk } from "./disk/scan.ts"

/** What a machine, or a snapshot of one, consists of: what either format of document says. */
export interface Inventory {
  readonly kind: "machine" | "snapshot"
  readonly name: string
  readonly version?: string
  /** Of the OCI manifest. */
  readonly subject: Descriptor
  /** Of a snapshot: the OCI manifest of its machine. */
  readonly base?: Descriptor
  /** Those of the base, then those of the snapshot. */
  readonly parts: readonly Part[]
  readonly installed: readonly Installed[]
  /** What of the disk could not be looked into: sentences. */
  readonly gaps: readonly string[]
}

/** A blob, once in each part that it plays. */
export interface Part {
  readonly role:
    | "kernel"
    | "initrd"
    | "variables"
    | "disk"
    | "overlay"
    | "ram"
    | "ramtable"
    | "rampages"
    | "vmstate"
  readonly title: string
  readonly descriptor: Descriptor
  /** Whose part it is. */
  readonly of: "machine" | "snapshot"
  /** Of a disk layer or overlay. */
  readonly format?: "qcow2" | "raw"
  /** Of a layer or overlay of a further disk: that disk's name. */
  readonly disk?: string
  /** Of a kernel: everything that its header says. */
  readonly version?: string
}

/** A store whose blobs are files here. */
export type LocalStore = Fetcher & LocalFile

export interface InventoryOptions extends Call {
  /** For a temporary copy of the disk. */
  readonly folder: string
}

/**
 * Looks into the machine or snapshot behind `target`: its manifests, its kernel's header, the file systems of its disk.
 * Throws what reading the artifact throws, OVM_CONTENT_MISSING, OVM_NO_SPACE, OVM_INTERRUPTED.
 */
export async function takeInventory(
  files: LocalStore,
  target: Descriptor,
  options: InventoryOptions,
): Promise<Inventory> {
  const snapshot = (await isSnapshot(files, target, options))
    ? await readSnapshot(files, target, options)
    : undefined
  const machine = await readArtifact(files, snapshot?.base ?? target, options)
  const inline = snapshot ? undefined : await readInlineSnapshot(files, machine, options)
  const taken = snapshot ?? inline
  const parts = [
    ...(await machineParts(files, machine, options)),
    ...(taken ? snapshotParts(taken, snapshot ? "snapshot" : "machine") : []),
  ]
  const first: LayerFile[] = []
  for (const { role, descriptor, format, disk } of parts)
    if (format && disk === undefined && (role === "disk" || snapshot))
      first.push({ path: await pathOf(files, descriptor), format })
  const scans = first.length > 0 ? [await scanDisk(first, options.folder, options)] : []
  for (const { name, layers: below = [] } of machine.disks) {
    const layers = [...below, ...(snapshot?.disks.find((disk) => disk.name === name)?.overlays ?? [])]
    if (layers.length > 0) scans.push(await scanFurther(files, { name, layers }, options))
  }
  const { name, version } = machine.manifest
  return {
    kind: snapshot ? "snapshot" : "machine",
    name,
    ...(version !== undefined && { version }),
    subject: target,
    ...(snapshot && { base: snapshot.base }),
    parts,
    installed: scans.flatMap(({ installed }) => installed),
    gaps: scans.flatMap(({ gaps }) => gaps),
  }
}

/** What is on a disk beside the first, told apart from what is on others. */
async function scanFurther(
  files: LocalStore,
  { name, layers }: { readonly name: string; readonly layers: readonly DiskBlob[] },
  options: InventoryOptions,
): Promise<DiskContent> {
  const paths: LayerFile[] = []
  for (const { descriptor, format } of layers) paths.push({ path: await pathOf(files, descriptor), format })
  const { installed, gaps } = await scanDisk(paths, options.folder, options)
  return {
    installed: installed.map((one) => ({ ...one, disk: name, volume: `disk ${name}: ${one.volume}` })),
    gaps: gaps.map((gap) => `disk ${name}: ${gap}`),
  }
}

async function machineParts(files: LocalStore, machine: Artifact, options: Call): Promise<Part[]> {
  options.signal?.throwIfAborted()
  const { kernel, initrd, layers, disks, variables } = machine
  const version = kernel && (await kernelVersion(await pathOf(files, kernel)))
  const of = "machine"
  return [
    ...(kernel
      ? [{ role: "kernel", title: "kernel", descriptor: kernel, of, ...(version && { version }) } as const]
      : []),
    ...(initrd ? [{ role: "initrd", title: "initrd", descriptor: initrd, of } as const] : []),
    ...layers.map(
      ({ descriptor, format }, index) =>
        ({ role: "disk", title: `disk layer ${index}`, descriptor, of, format }) as const,
    ),
    ...disks.flatMap(({ name, layers = [] }) =>
      layers.map(
        ({ descriptor, format }, index) =>
          ({
            role: "disk",
            title: `disk ${name} layer ${index}`,
            descriptor,
            of,
            format,
            disk: name,
          }) as const,
      ),
    ),
    ...(variables
      ? [{ role: "variables", title: "firmware's variables", descriptor: variables, of } as const]
      : []),
  ]
}

function snapshotParts({ ram, table, changed, state, overlays, disks }: Snapshot, of: Part["of"]): Part[] {
  return [
    ...overlays.map(
      ({ descriptor, format }, index) =>
        ({ role: "overlay", title: `disk overlay ${index}`, descriptor, of, format }) as const,
    ),
    ...disks.flatMap(({ name: disk, overlays }) =>
      overlays.map(({ descriptor, format }, index) => {
        const title = `disk ${disk} overlay ${index}`
        return { role: "overlay", title, descriptor, of, format, disk } as const
      }),
    ),
    { role: "ram", title: "RAM", descriptor: ram, of },
    ...(table
      ? [{ role: "ramtable", title: "table of the RAM's frames", descriptor: table, of } as const]
      : []),
    ...(changed
      ? [{ role: "rampages", title: "map of the RAM's changed pages", descriptor: changed, of } as const]
      : []),
    { role: "vmstate", title: "device state", descriptor: state, of },
  ]
}

async function pathOf(files: LocalStore, target: Descriptor): Promise<string> {
  const path = await files.path(target)
  if (path !== undefined) return path
  throw new OvmError("OVM_CONTENT_MISSING", `${target.mediaType} ${target.digest} is not on this host`)
}
