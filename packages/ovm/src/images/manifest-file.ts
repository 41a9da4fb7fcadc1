import { readdir, stat } from "node:fs/promises"
import { dirname, join } from "node:path"
import { describeFile, fileBytes } from "../artifact/blob.ts"
import { documentOf } from "../artifact/canonical.ts"
import {
  DISK_TYPE,
  FORMAT_ANNOTATION,
  INITRD_TYPE,
  KERNEL_TYPE,
  type LayerRef,
  MANIFEST_TYPE,
  type OvmsManifest,
  VARIABLES_TYPE,
} from "../artifact/machine/manifest.ts"
import { parseManifest } from "../artifact/machine/validate.ts"
import { RAM_TYPES, TITLE_ANNOTATION } from "../artifact/types.ts"
import type { Descriptor } from "../content/descriptor.ts"
import { type Digest, hexOf } from "../content/digest.ts"
import type { Call, Store } from "../content/interfaces.ts"
import { OCI_MANIFEST } from "../content/manifest.ts"
import { bytesOf, MANIFEST_LIMIT } from "../content/read.ts"
import { OvmError } from "../errors.ts"
import { readRegular } from "../files/regular.ts"

/** Files beside a manifest that are looked at; a folder with more is hardly meant. */
const MAX_FILES = 256

/**
 * Stores the machine of an OVMS manifest file whose blobs lie beside it: in `blobs/sha256/`, or as files of any name in
 * the same folder, found by digest (spec/runtime-api.md). The file's own bytes become the config, so its digest stays.
 * Throws OVM_MANIFEST_INVALID, OVM_TOO_LARGE, OVM_CONTENT_MISSING naming the ref that no file has.
 */
export async function importManifestFile(store: Store, file: string, call: Call): Promise<Descriptor> {
  const bytes = await readRegular(file, MANIFEST_LIMIT)
  const manifest = parseManifest(bytes, file)
  const found = await findBlobs(dirname(file), wantedBy(manifest), call)
  for (const { path, descriptor } of found) await store.push(descriptor, fileBytes(path, call), call)
  const config = {
    ...documentOf(MANIFEST_TYPE, bytes).descriptor,
    annotations: { [TITLE_ANNOTATION]: "manifest.json" },
  }
  await store.push(config, bytesOf(bytes), call)
  const oci = documentOf(OCI_MANIFEST, {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: MANIFEST_TYPE,
    config,
    layers: found.map(({ descriptor }) => descriptor),
  })
  await store.push(oci.descriptor, bytesOf(oci.bytes), call)
  return { ...oci.descriptor, artifactType: MANIFEST_TYPE }
}

/** A blob that the manifest refers to, with everything of its descriptor but the size. */
interface Wanted {
  readonly pointer: string
  readonly digest: Digest
  readonly mediaType: string
  readonly annotations: Readonly<Record<string, string>>
}

function wantedBy(manifest: OvmsManifest): Wanted[] {
  const { kernel, initrd, diskLayers = [], disks = [], firmware, ramSnapshot } = manifest
  const want = (pointer: string, digest: Digest, mediaType: string, title: string): Wanted => ({
    pointer,
    digest,
    mediaType,
    annotations: { [TITLE_ANNOTATION]: title },
  })
  const layersOf = (at: string, layers: readonly LayerRef[], title: string) =>
    layers.map(({ ref, format }, index): Wanted => {
      const plain = want(`${at}/${index}/ref`, ref, DISK_TYPE, `${title}${index}.${format}`)
      return { ...plain, annotations: { ...plain.annotations, [FORMAT_ANNOTATION]: format } }
    })
  return [
    ...(kernel ? [want("/kernel/ref", kernel.ref, KERNEL_TYPE, "kernel.bin")] : []),
    ...(initrd ? [want("/initrd/ref", initrd.ref, INITRD_TYPE, "initrd.img")] : []),
    ...layersOf("/diskLayers", diskLayers, "disk"),
    ...disks.flatMap(({ name, layers = [] }, at) => layersOf(`/disks/${at}/layers`, layers, `disk-${name}-`)),
    ...(firmware
      ? [want("/firmware/variables/ref", firmware.variables.ref, VARIABLES_TYPE, "variables.fd")]
      : []),
    ...(ramSnapshot
      ? [want("/ramSnapshot/ref", ramSnapshot.ref, RAM_TYPES[ramSnapshot.compression], "ram.snapshot")]
      : []),
  ]
}

interface Found {
  readonly path: string
  readonly descriptor: Descriptor
}

/** In the order of `wanted`. */
async function findBlobs(folder: string, wanted: readonly Wanted[], call: Call): Promise<Found[]> {
  const beside = new Beside(folder, call)
  const found: Found[] = []
  for (const { pointer, digest, mediaType, annotations } of wanted) {
    const file = await beside.find(digest)
    if (!file)
      throw new OvmError("OVM_CONTENT_MISSING", `${pointer}: no file in ${folder} has the digest ${digest}`, {
        detail: { pointer, digest },
        hint: "put the blobs into the manifest's folder, or start it by its name",
      })
    found.push({ path: file.path, descriptor: { mediaType, digest, size: file.size, annotations } })
  }
  return found
}

/** The files of a folder by digest, hashed once and only if a digest is not found by name. */
class Beside {
  #hashed: Promise<Map<Digest, { path: string; size: number }>> | undefined

  constructor(
    private readonly folder: string,
    private readonly call: Call,
  ) {}

  async find(digest: Digest): Promise<{ path: string; size: number } | undefined> {
    const named = join(this.folder, "blobs", "sha256", hexOf(digest))
    const info = await stat(named).catch(() => undefined)
    if (info?.isFile()) return { path: named, size: info.size }
    this.#hashed ??= this.#hash()
    return (await this.#hashed).get(digest)
  }

  async #hash(): Promise<Map<Digest, { path: string; size: number }>> {
    const entries = (await readdir(this.folder, { withFileTypes: true })).filter((entry) => entry.isFile())
    if (entries.length > MAX_FILES)
      throw new OvmError(
        "OVM_CONTENT_MISSING",
        `${this.folder} has more than ${MAX_FILES} files to look through`,
      )
    const files = new Map<Digest, { path: string; size: number }>()
    for (const { name } of entries) {
      const path = join(this.folder, name)
      const { digest, size } = await describeFile(path, "", this.call)
      files.set(digest, { path, size })
    }
    return files
  }
}
