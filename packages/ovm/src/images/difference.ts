import { type Disagreement, disagreements } from "../artifact/disagreements.ts"
import type { OvmsManifest } from "../artifact/machine/manifest.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Root } from "./root.ts"

type Blob = Pick<Descriptor, "digest" | "size">

/** What became of one blob between two versions. */
export interface PartChange {
  /**
   * `kernel`, `initrd`, `disk 0`, `disk NAME 0`, `variables`; of a snapshot `ram`, `state`, `overlay 0`,
   * `overlay NAME 0`.
   */
  readonly part: string
  readonly change: "same" | "changed" | "added" | "removed"
  readonly from?: Blob
  readonly to?: Blob
}

/** So many blobs, and their bytes. */
export interface Amount {
  readonly blobs: number
  readonly bytes: number
}

export interface Difference {
  readonly parts: readonly PartChange[]
  /** Of the OVMS manifests, but for what names blobs. */
  readonly manifest: readonly Disagreement[]
  /** What both have. */
  readonly shared: Amount
  /** What has to be moved to have the second where the first is: manifests included. */
  readonly toMove: Amount
}

/** What lies between two versions, by their manifests alone. */
export function differenceOf(from: Root, to: Root): Difference {
  const [before, after] = [partsOf(from), partsOf(to)]
  const names = [...new Set([...before.keys(), ...after.keys()])]
  const [old, all] = [blobsOf(from), blobsOf(to)]
  const shared = [...all.values()].filter(({ digest }) => old.has(digest))
  const moved = [...all.values()].filter(({ digest }) => !old.has(digest))
  return {
    parts: names.map((part) => changeOf(part, before.get(part), after.get(part))),
    manifest: disagreements(settingsOf(from.machine.manifest), settingsOf(to.machine.manifest)),
    shared: amountOf(shared),
    toMove: amountOf(moved),
  }
}

function changeOf(part: string, from: Descriptor | undefined, to: Descriptor | undefined): PartChange {
  const change = !from ? "added" : !to ? "removed" : from.digest === to.digest ? "same" : "changed"
  const said = (blob: Descriptor) => ({ digest: blob.digest, size: blob.size })
  return { part, change, ...(from && { from: said(from) }), ...(to && { to: said(to) }) }
}

function partsOf({ machine, snapshot }: Root): Map<string, Descriptor> {
  const parts = new Map<string, Descriptor>()
  const { kernel, initrd, layers, disks, variables } = machine
  if (kernel) parts.set("kernel", kernel)
  if (initrd) parts.set("initrd", initrd)
  for (const [at, { descriptor }] of layers.entries()) parts.set(`disk ${at}`, descriptor)
  for (const { name, layers = [] } of disks)
    for (const [at, { descriptor }] of layers.entries()) parts.set(`disk ${name} ${at}`, descriptor)
  if (variables) parts.set("variables", variables)
  if (!snapshot) return parts
  parts.set("ram", snapshot.ram)
  parts.set("state", snapshot.state)
  for (const [at, { descriptor }] of snapshot.overlays.entries()) parts.set(`overlay ${at}`, descriptor)
  for (const { name, overlays } of snapshot.disks)
    for (const [at, { descriptor }] of overlays.entries()) parts.set(`overlay ${name} ${at}`, descriptor)
  return parts
}

/** All that there is to move of it. */
function blobsOf({ machine, snapshot }: Root): ReadonlyMap<Digest, Descriptor> {
  const artifacts = snapshot ? [machine, snapshot] : [machine]
  const blobs = artifacts.flatMap(({ descriptor, oci }) => [descriptor, oci.config, ...oci.layers])
  return new Map(blobs.map((blob) => [blob.digest, blob]))
}

function amountOf(blobs: readonly Descriptor[]): Amount {
  return { blobs: blobs.length, bytes: blobs.reduce((sum, { size }) => sum + size, 0) }
}

/** A manifest without what names its blobs: those are told as parts. */
function settingsOf({
  kernel,
  initrd: _,
  diskLayers: __,
  disks = [],
  ramSnapshot: ___,
  firmware: ____,
  ...others
}: OvmsManifest) {
  return {
    ...others,
    ...(kernel?.args !== undefined && { kernel: { args: kernel.args } }),
    ...(disks.length > 0 && { disks: disks.map(({ layers: _, ...disk }) => disk) }),
  }
}
