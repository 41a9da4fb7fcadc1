import type { Descriptor } from "../../content/descriptor.ts"
import type { Call, FilePusher, Pusher } from "../../content/interfaces.ts"
import { OCI_MANIFEST } from "../../content/manifest.ts"
import { bytesOf } from "../../content/read.ts"
import type { RamCompression } from "../../ram/format.ts"
import { describeFile, fileBytes } from "../blob.ts"
import { documentOf } from "../canonical.ts"
import { faultsError } from "../faults.ts"
import { DISK_TYPE, FORMAT_ANNOTATION } from "../machine/manifest.ts"
import type { OciManifest } from "../oci.ts"
import {
  RAM_PAGES_TYPE,
  RAM_TABLE_ANNOTATION,
  RAM_TABLE_TYPE,
  RAM_TYPES,
  SNAPSHOT_TYPE,
  STATE_TYPE,
  TITLE_ANNOTATION,
} from "../types.ts"
import { CREATED_ANNOTATION, snapshotAnnotations } from "./annotations.ts"
import type { OverlayRef, SnapshotDescriptor } from "./descriptor.ts"
import { validateSnapshotArtifact } from "./mapping.ts"

/** What the files of a snapshot are, and all that its descriptor says beside them. */
export interface SnapshotSource
  extends Pick<
    SnapshotDescriptor,
    "created" | "parent" | "vmm" | "host" | "resources" | "devices" | "boot" | "uniqueness" | "scrub"
  > {
  /** The base's OCI manifest: it becomes `subject`. */
  readonly base: Descriptor
  /** Where the base was, without tag or digest. */
  readonly repository?: string
  /** As compressRam leaves it; `table` are the bytes of the table of frames. */
  readonly ram: {
    readonly path: string
    readonly blob: Pick<Descriptor, "digest" | "size">
    readonly compression: RamCompression
    readonly table: Uint8Array
    readonly digest: SnapshotDescriptor["ram"]["digest"]
    /** As changedPages leaves it. */
    readonly changed?: { readonly map: Uint8Array; readonly pages: number }
    readonly preload_hint?: boolean
    readonly mlock_required?: boolean
  }
  /** The file of the device state. */
  readonly state: string
  /**
   * Those of the parent first, which are in the store already, each as its descriptor; then the file of the new one.
   */
  readonly overlays: readonly (Descriptor | string)[]
  /** The same of each further disk that the machine can write to, in the order of the base. */
  readonly disks?: readonly { readonly name: string; readonly overlays: readonly (Descriptor | string)[] }[]
}

interface Blob {
  /** Of an overlay: which disk it is of, by name; the first has none. */
  readonly overlay?: { readonly disk?: string }
  readonly descriptor: Descriptor
  /** A path, bytes, or nothing where the store has it. */
  readonly content?: string | Uint8Array
}

/**
 * Stores a snapshot in the written form of spec/snapshot.md, its OCI manifest last, and gives that one's descriptor.
 * The same files and facts give the same digest. Nothing is pushed before everything was checked. The base must be in
 * the store. Throws OVM_SNAPSHOT_INVALID, OVM_FILE_UNREADABLE, OVM_DIGEST_MISMATCH if a file changes meanwhile, and
 * what `store` throws.
 */
export async function writeSnapshot(
  store: Pusher & Partial<FilePusher>,
  source: SnapshotSource,
  call: Call = {},
): Promise<Descriptor> {
  const blobs = await blobsOf(source, call)
  const config = documentOf(SNAPSHOT_TYPE, descriptorOf(source, blobs))
  const oci: OciManifest & { readonly mediaType: string } = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: SNAPSHOT_TYPE,
    config: { ...config.descriptor, annotations: { [TITLE_ANNOTATION]: "snapshot.json" } },
    layers: blobs.map(({ descriptor }) => descriptor),
    subject: { mediaType: source.base.mediaType, digest: source.base.digest, size: source.base.size },
    annotations: {
      ...snapshotAnnotations(descriptorOf(source, blobs)),
      [CREATED_ANNOTATION]: source.created,
    },
  }
  const written = documentOf(OCI_MANIFEST, oci)
  const { faults } = validateSnapshotArtifact(written.bytes, config.bytes)
  if (faults.length > 0) throw faultsError("the snapshot that was about to be written", faults)

  for (const { descriptor, content } of blobs) {
    if (content instanceof Uint8Array) await store.push(descriptor, bytesOf(content), call)
    else if (content !== undefined) await pushFile(store, descriptor, content, call)
  }
  await store.push(config.descriptor, bytesOf(config.bytes), call)
  await store.push(written.descriptor, bytesOf(written.bytes), call)
  return { ...written.descriptor, artifactType: SNAPSHOT_TYPE }
}

async function pushFile(store: Pusher & Partial<FilePusher>, target: Descriptor, path: string, call: Call) {
  if (store.pushFile) await store.pushFile(target, path, call)
  else await store.push(target, fileBytes(path, call), call)
}

/** In the order of the layers: RAM, table, changed pages if there is a map of them, state, overlays disk by disk. */
async function blobsOf({ ram, state, overlays, disks = [] }: SnapshotSource, call: Call): Promise<Blob[]> {
  const table = documentOf(RAM_TABLE_TYPE, ram.table)
  const pages = ram.changed && documentOf(RAM_PAGES_TYPE, ram.changed.map)
  const blobs: Blob[] = [
    {
      descriptor: titled(
        { mediaType: RAM_TYPES[ram.compression], ...ram.blob },
        ram.compression === "zstd" ? "ram.zst" : "ram.lz4",
        { [RAM_TABLE_ANNOTATION]: table.descriptor.digest },
      ),
      content: ram.path,
    },
    { descriptor: titled(table.descriptor, "ram.table"), content: table.bytes },
    ...(pages ? [{ descriptor: titled(pages.descriptor, "ram.pages"), content: pages.bytes }] : []),
    { descriptor: titled(await describeFile(state, STATE_TYPE, call), "vmstate.bin"), content: state },
  ]
  blobs.push(...(await overlayBlobs({ overlays }, call)))
  for (const { name: disk, overlays } of disks) blobs.push(...(await overlayBlobs({ disk, overlays }, call)))
  return blobs
}

function titled(descriptor: Descriptor, title: string, more: Record<string, string> = {}): Descriptor {
  const { mediaType, digest, size } = descriptor
  return { mediaType, digest, size, annotations: { [TITLE_ANNOTATION]: title, ...more } }
}

async function overlayBlobs(
  { disk, overlays }: Pick<SnapshotSource, "overlays"> & { readonly disk?: string },
  call: Call,
): Promise<Blob[]> {
  return await Promise.all(
    overlays.map(async (overlay, index) => {
      const descriptor = typeof overlay === "string" ? await describeFile(overlay, DISK_TYPE, call) : overlay
      const title = `${disk === undefined ? "" : `disk-${disk}-`}overlay${index}.qcow2`
      return {
        overlay: disk === undefined ? {} : { disk },
        descriptor: titled({ ...descriptor, mediaType: DISK_TYPE }, title, { [FORMAT_ANNOTATION]: "qcow2" }),
        ...(typeof overlay === "string" && { content: overlay }),
      }
    }),
  )
}

/** Of the disk of that name; of the first without one. */
function overlayRefs(blobs: readonly Blob[], disk?: string): OverlayRef[] {
  return blobs
    .filter(({ overlay }) => overlay && overlay.disk === disk)
    .map(({ descriptor: { digest: ref, size } }) => ({ ref, format: "qcow2", size }))
}

function descriptorOf(source: SnapshotSource, blobs: readonly Blob[]): SnapshotDescriptor {
  const descriptors = blobs.map(({ descriptor }) => descriptor)
  const [pages] = source.ram.changed ? descriptors.splice(2, 1) : []
  const [ram, table, state] = descriptors
  if (!ram || !table || !state) throw new TypeError("a snapshot has RAM, a table and device state")
  const { created, parent, vmm, host, resources, devices, boot, disks = [], uniqueness, scrub } = source
  const { compression, digest, preload_hint, mlock_required } = source.ram
  return {
    schemaVersion: 1,
    mediaType: SNAPSHOT_TYPE,
    os: "linux",
    architecture: "amd64",
    created,
    base: {
      digest: source.base.digest,
      ...(source.repository !== undefined && { repository: source.repository }),
    },
    ...(parent && { parent }),
    vmm,
    ...(host && { host }),
    resources,
    devices,
    ...(boot && { boot }),
    ram: {
      ref: ram.digest,
      compression,
      table: table.digest,
      size: resources.memory,
      digest,
      ...(pages && source.ram.changed && { changed: { ref: pages.digest, pages: source.ram.changed.pages } }),
      ...(preload_hint !== undefined && { preload_hint }),
      ...(mlock_required !== undefined && { mlock_required }),
    },
    state: { ref: state.digest },
    overlays: overlayRefs(blobs),
    ...(disks.length > 0 && {
      disks: disks.map(({ name }) => ({ name, overlays: overlayRefs(blobs, name) })),
    }),
    uniqueness,
    ...(scrub && { scrub }),
  }
}
