import type { Digest } from "../../content/digest.ts"
import type { DiskFormat, OvmsManifest } from "./manifest.ts"
import type { DiskBlob } from "./mapping.ts"
import type { Artifact } from "./read.ts"

/** What there is to know about an artifact; `ovm inspect --json` prints it as it is. Sizes are bytes. */
export interface InspectModel {
  readonly reference?: string
  /** Of the OCI manifest: what a name can be pinned to. */
  readonly digest: Digest
  readonly name: string
  readonly version?: string
  readonly os?: string
  readonly architecture?: string
  readonly kernel?: BlobModel & { readonly args: string }
  readonly initrd?: BlobModel
  /** Of the first disk, base first. */
  readonly layers: readonly LayerModel[]
  readonly disks: readonly DiskModel[]
  /** Of its UEFI firmware. */
  readonly variables?: BlobModel
  readonly ram_snapshot?: BlobModel & { readonly compression: "lz4" | "zstd" }
  readonly resources: { readonly vcpus?: number; readonly memory?: number }
  readonly network: NonNullable<OvmsManifest["network"]>
  readonly shares: readonly ShareModel[]
  readonly devices: NonNullable<OvmsManifest["devices"]>
  readonly metadata: NonNullable<OvmsManifest["metadata"]>
  /** What the author wishes for, under the names of this model. */
  readonly hints: Hints
  readonly annotations: Readonly<Record<string, string>>
  /** Of all blobs and both manifests. */
  readonly size: number
  readonly warnings: readonly string[]
  readonly manifest: OvmsManifest
}

type LayerModel = BlobModel & { readonly format: DiskFormat; readonly virtual_size?: number }

/** A disk beside the first. */
interface DiskModel {
  readonly name: string
  readonly read_only: boolean
  /** Of one that is empty at first. */
  readonly size?: number
  /** Base first. */
  readonly layers?: readonly LayerModel[]
}

/** A folder of the host that the guest is to see. */
interface ShareModel {
  readonly name: string
  readonly target: string
  readonly read_only: boolean
  readonly required: boolean
}

interface Hints {
  readonly preferred_runtime?: readonly string[]
  readonly cold_start_target_ms?: number
  readonly resume?: boolean
  readonly cold_boot_on_mismatch?: boolean
}

interface BlobModel {
  readonly digest: Digest
  readonly size: number
}

export interface InspectDetails {
  readonly reference?: string
  /** Of the disk up to this layer, where its file could be looked at. */
  readonly virtualSize?: (layer: DiskBlob) => number | undefined
}

/** Gathers what the two manifests say, and what the caller knows beside them. */
export function inspectModel(artifact: Artifact, details: InspectDetails = {}): InspectModel {
  const { manifest, kernel, initrd, variables, ramSnapshot, oci } = artifact
  const { name, version, os, architecture } = manifest
  const blob = ({ digest, size }: BlobModel): BlobModel => ({ digest, size })
  const layer = (one: DiskBlob): LayerModel => {
    const virtualSize = details.virtualSize?.(one)
    const { descriptor, format } = one
    return { ...blob(descriptor), format, ...(virtualSize !== undefined && { virtual_size: virtualSize }) }
  }
  const blobs = new Map(
    [artifact.descriptor, oci.config, ...oci.layers].map(({ digest, size }) => [digest, size]),
  )
  return {
    ...(details.reference !== undefined && { reference: details.reference }),
    digest: artifact.descriptor.digest,
    name,
    ...(version !== undefined && { version }),
    ...(os !== undefined && { os }),
    ...(architecture !== undefined && { architecture }),
    ...(kernel && { kernel: { ...blob(kernel), args: manifest.kernel?.args ?? "" } }),
    ...(initrd && { initrd: blob(initrd) }),
    layers: artifact.layers.map(layer),
    disks: artifact.disks.map(({ name, readOnly = false, size, layers }) => ({
      name,
      read_only: readOnly,
      ...(size !== undefined && { size }),
      ...(layers && { layers: layers.map(layer) }),
    })),
    ...(variables && { variables: blob(variables) }),
    ...(ramSnapshot &&
      manifest.ramSnapshot && {
        ram_snapshot: { ...blob(ramSnapshot), compression: manifest.ramSnapshot.compression },
      }),
    resources: manifest.resources ?? {},
    network: manifest.network ?? [],
    shares: (manifest.shares ?? []).map(({ name, target, readOnly = false, required = true }) => ({
      name,
      target,
      read_only: readOnly,
      required,
    })),
    devices: manifest.devices ?? [],
    metadata: manifest.metadata ?? {},
    hints: hintsOf(manifest.runtimeHints ?? {}),
    annotations: oci.annotations ?? {},
    size: [...blobs.values()].reduce((sum, size) => sum + size, 0),
    warnings: artifact.warnings,
    manifest,
  }
}

function hintsOf({
  preferredRuntime,
  coldStartTargetMs,
  resume,
  coldBootOnMismatch,
}: NonNullable<OvmsManifest["runtimeHints"]>): Hints {
  return {
    ...(preferredRuntime && { preferred_runtime: preferredRuntime }),
    ...(coldStartTargetMs !== undefined && { cold_start_target_ms: coldStartTargetMs }),
    ...(resume !== undefined && { resume }),
    ...(coldBootOnMismatch !== undefined && { cold_boot_on_mismatch: coldBootOnMismatch }),
  }
}

/** The model as a tree for people, one line an entry. */
export function inspectLines(model: InspectModel): string[] {
  const { kernel, initrd, layers, ram_snapshot: ram, resources, network, devices, metadata, manifest } = model
  const entries: TreeEntry[] = []
  if (kernel)
    entries.push({ text: `kernel  ${blobText(kernel)}`, below: kernel.args ? [`args  ${kernel.args}`] : [] })
  if (initrd) entries.push({ text: `initrd  ${blobText(initrd)}` })
  if (layers.length > 0)
    entries.push({ text: `disk  ${count(layers.length, "layer")}`, below: layers.map(layerText) })
  for (const { name, read_only, size, layers = [] } of model.disks)
    entries.push({
      text: `disk ${name}  ${size === undefined ? count(layers.length, "layer") : `empty, ${bytesText(size)}`}${read_only ? ", read-only" : ""}`,
      below: layers.map(layerText),
    })
  if (model.variables) entries.push({ text: `variables  ${blobText(model.variables)}` })
  if (ram) entries.push({ text: `ram  ${blobText(ram)}, ${ram.compression}` })
  entries.push({
    text: `resources  ${resources.vcpus ?? "default"} vCPU, ${resources.memory ? bytesText(resources.memory) : "default"} memory`,
  })
  for (const { mode, ports = [] } of network) {
    const offered = ports.map(({ guest, protocol = "tcp" }) => `${guest}/${protocol}`).join(", ")
    entries.push({ text: `network  ${mode}${offered && `, offers ${offered}`}` })
  }
  for (const { name, target, read_only, required } of model.shares)
    entries.push({
      text: `share ${name}  at ${target}${read_only ? ", read-only" : ""}${required ? "" : ", optional"}`,
    })
  if (manifest.agent) entries.push({ text: `agent  ${manifest.agent.protocol}` })
  if (devices.length > 0)
    entries.push({
      text: "devices",
      below: devices.map(
        ({ name, type, size, mmio_addr, required }) =>
          `${name}  ${type}${size ? `, ${bytesText(size)}` : ""}${mmio_addr ? ` at ${mmio_addr}` : ""}${required === false ? ", optional" : ""}`,
      ),
    })
  const about = Object.entries(metadata).map(
    ([key, value]) => `${key}  ${typeof value === "object" ? JSON.stringify(value) : value}`,
  )
  if (about.length > 0) entries.push({ text: "metadata", below: about })
  const wishes = Object.entries(manifest.runtimeHints ?? {}).map(
    ([key, value]) => `${key}  ${Array.isArray(value) ? value.join(", ") : value}`,
  )
  if (wishes.length > 0) entries.push({ text: "hints", below: wishes })
  if (model.warnings.length > 0) entries.push({ text: "warnings", below: model.warnings })
  const title = `${model.reference ?? model.name}${model.version ? `  (${model.name} ${model.version})` : ""}`
  return [title, `digest  ${model.digest}, ${bytesText(model.size)} in all`, ...tree(entries)]
}

export interface TreeEntry {
  readonly text: string
  readonly below?: readonly (string | TreeEntry)[]
}

/** Entries as a tree, one line each. */
export function tree(entries: readonly TreeEntry[]): string[] {
  return entries.flatMap(({ text, below = [] }, index) => {
    const last = index === entries.length - 1
    const stem = last ? "   " : "│  "
    const twigs = tree(below.map((entry) => (typeof entry === "string" ? { text: entry } : entry)))
    return [`${last ? "└─" : "├─"} ${text}`, ...twigs.map((twig) => stem + twig)]
  })
}

function layerText(layer: InspectModel["layers"][number], index: number): string {
  const virtual = layer.virtual_size === undefined ? "" : ` (disk of ${bytesText(layer.virtual_size)})`
  return `${index}  ${layer.format}  ${blobText(layer)}${virtual}`
}

export function blobText({ digest, size }: BlobModel): string {
  return `${digest.slice(0, 19)}  ${bytesText(size)}`
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`
}

/** In binary units with at most one decimal. */
export function bytesText(size: number): string {
  let value = size
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${Math.round(value * 10) / 10} ${UNITS[unit]}`
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"]
