import type { BigIntStats } from "node:fs"
import { stat } from "node:fs/promises"
import { resolve } from "node:path"
import type { Descriptor } from "../../content/descriptor.ts"
import type { Digest } from "../../content/digest.ts"
import type { Call, FileIngester, Pusher } from "../../content/interfaces.ts"
import { OCI_MANIFEST } from "../../content/manifest.ts"
import { bytesOf } from "../../content/read.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import { openRegular, refuseOthers, unreadable } from "../../files/regular.ts"
import { checkKernel, checkKernelFor, KERNEL_ARCHITECTURES } from "../../kernel.ts"
import { documentOf } from "../canonical.ts"
import { epochTime } from "../epoch.ts"
import type { OciManifest } from "../oci.ts"
import { TITLE_ANNOTATION } from "../types.ts"
import {
  DISK_TYPE,
  type DiskFormat,
  FORMAT_ANNOTATION,
  INITRD_TYPE,
  KERNEL_TYPE,
  MANIFEST_TYPE,
  type OvmsManifest,
  VARIABLES_TYPE,
} from "./manifest.ts"
import { checkSource, type PackSource, type SourceLayer } from "./source.ts"
import { parseManifest } from "./validate.ts"

/** The least and the most that firmware's variables have (OVMS-MAN-156). */
const FLASH_BYTES = [4096n, 64n << 20n] as const

/**
 * How disk files are judged. The functions are those of disk/; they are handed in because artifact/ does not build on
 * disk/.
 */
export interface DiskChecks<Info> {
  inspect(
    path: string,
    options: Call & {
      readonly format: DiskFormat
      readonly role: "base" | "diff"
      /**
       * The source names no format, and `format` was told from the first bytes: a file that looks like neither qcow2
       * nor a raw disk is to be refused.
       */
      readonly guessed: boolean
    },
  ): Promise<Info>
  /** Throws unless the layers, base first, make one chain. */
  checkChain(layers: readonly Info[]): void
}

export interface PackOptions<Info> extends Call {
  /** The folder that the source's paths are relative to. */
  readonly base: string
  readonly disks: DiskChecks<Info>
  /**
   * As in the environment: seconds since 1970 as a decimal number, for a source that does not say when it was created.
   */
  readonly sourceDateEpoch?: string | undefined
  /** Annotations of the OCI manifest that are ours to write, and no source's. */
  readonly annotations?: Readonly<Record<string, string>>
  /** Files that were written for this alone, by path, with what was hashed on the way: they become the blobs. */
  readonly given?: ReadonlyMap<string, Digest>
  /** Told how many bytes of a file are stored, of how many. */
  readonly onFile?: (path: string, done: number, total: number) => void
  /** Told of each blob that was stored. */
  readonly onBlob?: (blob: { readonly path: string; readonly descriptor: Descriptor }) => void
}

/**
 * Makes an artifact of local files, in the written form of spec/oci-mapping.md, and pushes it, its OCI manifest last.
 * The same files and source give the same digest on any machine (OVMS-SRC-014). Nothing is pushed before everything was
 * checked. Throws OVM_SOURCE_INVALID, OVM_KERNEL_INVALID, OVM_DISK_INVALID, OVM_FILE_UNREADABLE, OVM_DIGEST_MISMATCH if
 * a file changes meanwhile, and what `store` throws.
 */
export async function pack<Info>(
  source: PackSource,
  store: Pusher & FileIngester,
  options: PackOptions<Info>,
): Promise<Descriptor> {
  checkSource(source)
  const created = source.metadata?.created ?? epochTime(options.sourceDateEpoch)
  const parts = await check(source, options)
  const files: BlobFile[] = []
  for (const part of parts) files.push(await taken(part, store, options))

  const architecture = parts.find(({ runsOn }) => runsOn)?.runsOn ?? "amd64"
  const manifest = ovmsManifest({ architecture, ...source }, files, created)
  const config = documentOf(MANIFEST_TYPE, manifest)
  parseManifest(config.bytes)
  const oci: OciManifest & { readonly mediaType: string } = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: MANIFEST_TYPE,
    // The title makes `oras pull` write a folder that is a machine again: the manifest with its blobs beside it.
    config: { ...config.descriptor, annotations: { [TITLE_ANNOTATION]: "manifest.json" } },
    layers: files.map(({ descriptor }) => descriptor),
    ...annotations({ ...source.annotations, ...options.annotations }, created),
  }
  const written = documentOf(OCI_MANIFEST, oci)

  await store.push(config.descriptor, bytesOf(config.bytes), options)
  await store.push(written.descriptor, bytesOf(written.bytes), options)
  return { ...written.descriptor, artifactType: MANIFEST_TYPE }
}

/** A file that was found good. */
interface Part {
  readonly part: "kernel" | "initrd" | "disk" | "variables"
  readonly path: string
  readonly mediaType: string
  /** Titles tell the part, not the author's file names: those are no part of the machine (OVMS-OCI-041). */
  readonly title: string
  readonly format?: DiskFormat
  /** Name of the further disk that it is of. */
  readonly disk?: string
  /** Of a kernel: its architecture. */
  readonly runsOn?: string
  /** As it was when it was looked at. */
  readonly stat: BigIntStats
}

interface BlobFile extends Pick<Part, "part" | "format" | "disk"> {
  readonly descriptor: Descriptor
}

/**
 * Checks every file, in the order of the layers: kernel, initrd, disks from the base up, the first one first, and
 * variables.
 */
async function check<Info>(source: PackSource, options: PackOptions<Info>): Promise<Part[]> {
  const { base } = options
  const parts: Part[] = []
  if (source.kernel) {
    const path = resolve(base, source.kernel.path)
    const stat = await notEmpty(path)
    const { architecture } = source
    const use = { uefi: source.metadata?.platform?.uefi }
    const format = await (architecture ? checkKernelFor(path, architecture, use) : checkKernel(path, use))
    const runsOn = KERNEL_ARCHITECTURES[format]
    parts.push({ part: "kernel", path, mediaType: KERNEL_TYPE, title: "kernel.bin", runsOn, stat })
  }
  if (source.initrd) {
    const path = resolve(base, source.initrd.path)
    const stat = await notEmpty(path)
    parts.push({ part: "initrd", path, mediaType: INITRD_TYPE, title: "initrd.img", stat })
  }
  parts.push(...(await checkDisk(source.diskLayers ?? [], "disk", options)))
  for (const { name, layers = [] } of source.disks ?? []) {
    const files = await checkDisk(layers, `disk-${name}-`, options)
    parts.push(...files.map((file) => ({ ...file, disk: name })))
  }
  if (source.firmware) {
    const path = resolve(base, source.firmware.variables.path)
    const stat = await notEmpty(path)
    if (stat.size < FLASH_BYTES[0] || stat.size > FLASH_BYTES[1])
      throw new OvmError("OVM_SOURCE_INVALID", `${path} has ${stat.size} bytes, which no flash has`, {
        detail: { path, requirement: "OVMS-UEF-014" },
      })
    parts.push({ part: "variables", path, mediaType: VARIABLES_TYPE, title: "variables.fd", stat })
  }
  return parts
}

/** The files of one chain, base first; titles are `title` with the layer's index. */
async function checkDisk<Info>(
  layers: readonly SourceLayer[],
  title: string,
  options: PackOptions<Info>,
): Promise<Part[]> {
  const { base, disks } = options
  const parts: Part[] = []
  const chain: Info[] = []
  for (const [index, layer] of layers.entries()) {
    const path = resolve(base, layer.path)
    const stat = await notEmpty(path)
    const format = layer.format ?? (await guessFormat(path))
    const role = index === 0 ? "base" : "diff"
    chain.push(await disks.inspect(path, { ...options, format, role, guessed: layer.format === undefined }))
    parts.push({
      part: "disk",
      path,
      mediaType: DISK_TYPE,
      title: `${title}${index}.${format}`,
      format,
      stat,
    })
  }
  disks.checkChain(chain)
  return parts
}

async function notEmpty(path: string): Promise<BigIntStats> {
  const found = await stat(path, { bigint: true }).catch((thrown: unknown) => {
    throw unreadable(path, thrown)
  })
  refuseOthers(path, found)
  if (found.size > 0n) return found
  throw new OvmError("OVM_SOURCE_INVALID", `${path} is empty`, {
    detail: { path, requirement: "OVMS-SRC-009" },
  })
}

/** Stores a file. What was written to since it was checked is refused. */
async function taken<Info>(
  { part, path, mediaType, title, format, disk, stat: before }: Part,
  store: FileIngester,
  options: PackOptions<Info>,
): Promise<BlobFile> {
  const total = Number(before.size)
  const onBytes = (done: number) => options.onFile?.(path, done, total)
  const { signal, given: all } = options
  const given = all?.get(path)
  const call = { ...(signal && { signal }), ...(given && { given }), onBytes }
  const found = await store.ingestFile(path, mediaType, call)
  onBytes(total)
  const after = given ? before : await stat(path, { bigint: true })
  if (after.size !== before.size || after.mtimeNs !== before.mtimeNs || after.ino !== before.ino)
    throw new OvmError("OVM_DIGEST_MISMATCH", `${path} changed while it was packed`, { detail: { path } })
  const annotations = { [TITLE_ANNOTATION]: title, ...(format && { [FORMAT_ANNOTATION]: format }) }
  const descriptor = { ...found, annotations }
  options.onBlob?.({ path, descriptor })
  return { part, descriptor, ...(format && { format }), ...(disk !== undefined && { disk }) }
}

/** For the author's own file alone, whose format is then written down: a reader never guesses (OVMS-SRC-007). */
async function guessFormat(path: string): Promise<DiskFormat> {
  return (await readMagic(path)) === "QFI\xfb" ? "qcow2" : "raw"
}

async function readMagic(path: string): Promise<string> {
  try {
    const file = await openRegular(path)
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0)
      return buffer.toString("latin1", 0, bytesRead)
    } finally {
      await file.close()
    }
  } catch (thrown) {
    throw toOvmError(thrown)
  }
}

function ovmsManifest(
  source: PackSource,
  files: readonly BlobFile[],
  created: string | undefined,
): OvmsManifest {
  const { kernel, initrd, diskLayers, disks, firmware: _, annotations: __, metadata, ...shared } = source
  const ref = (part: BlobFile["part"]) =>
    files.filter((file) => file.part === part).map(({ descriptor }) => descriptor.digest)
  const [kernelRef] = ref("kernel")
  const [initrdRef] = ref("initrd")
  const variables = files.find(({ part }) => part === "variables")?.descriptor
  const layersOf = (disk?: string) =>
    files.flatMap(({ descriptor, format, disk: of }) =>
      format && of === disk ? [{ ref: descriptor.digest, format, size: descriptor.size }] : [],
    )
  const layers = layersOf()
  return {
    os: "linux",
    ...shared,
    mediaType: MANIFEST_TYPE,
    ...(kernelRef && {
      kernel: { ref: kernelRef, ...(kernel?.args !== undefined && { args: kernel.args }) },
    }),
    ...(initrdRef && { initrd: { ref: initrdRef } }),
    ...(layers.length > 0 && { diskLayers: layers }),
    ...(disks && {
      disks: disks.map(({ layers, ...disk }) => ({
        ...disk,
        ...(layers && { layers: layersOf(disk.name) }),
      })),
    }),
    ...(variables && { firmware: { variables: { ref: variables.digest, size: variables.size } } }),
    ...((metadata || created) && { metadata: { ...metadata, ...(created && { created }) } }),
  }
}

function annotations(
  said: Readonly<Record<string, string>>,
  created: string | undefined,
): Pick<OciManifest, "annotations"> {
  const all = { ...(created && { "org.opencontainers.image.created": created }), ...said }
  return Object.keys(all).length > 0 ? { annotations: all } : {}
}
