import type { DiskBlob } from "../artifact/machine/mapping.ts"
import type { Artifact } from "../artifact/machine/read.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Call } from "../content/interfaces.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { checkChain } from "../disk/chain.ts"
import { type DiskInfo, type InspectOptions, inspectDisk } from "../disk/inspect.ts"
import { OvmError, toOvmError } from "../errors.ts"
import { checkKernelFor } from "../kernel.ts"
import type { PreparedDisk, PreparedImage } from "./prepared.ts"

type Machine = Omit<PreparedImage, "digest" | "timings">

/** Files of layers, base first, with what was found in them. */
export interface Chain {
  readonly files: PreparedImage["layers"]
  readonly infos: readonly DiskInfo[]
}

/**
 * The verified, inspected files of an artifact in `store` (spec/disk.md, spec/security.md). Throws OVM_CONTENT_MISSING,
 * OVM_DISK_INVALID, OVM_KERNEL_INVALID, OVM_DIGEST_MISMATCH, OVM_SIZE_MISMATCH.
 */
export async function machineOf(
  store: LayoutStore,
  artifact: Artifact,
  asked: string | undefined,
  call: Call,
): Promise<{ readonly machine: Machine; readonly chain: Chain }> {
  const { manifest, kernel, initrd, variables, warnings } = artifact
  const reference = asked ?? `localhost/${manifest.name}`
  const file = async (target: Descriptor) => ({ path: await localFile(store, reference, target, call) })
  const chain = await chainOf({ store, reference }, artifact.layers, call)
  const disks = await Promise.all(
    artifact.disks.map(async ({ name, readOnly = false, size, layers = [] }) => {
      const further = await chainOf({ store, reference, disk: `disk ${name}` }, layers, call)
      const virtualSize = size ?? virtualSizeOf(further)
      const prepared: PreparedDisk = { name, readOnly, layers: further.files, virtualSize }
      return { prepared, warnings: foreignLayers(further, `disk ${name}`) }
    }),
  )
  const kernelFile = kernel && (await file(kernel))
  if (kernelFile)
    await named(reference, "kernel", () =>
      checkKernelFor(kernelFile.path, manifest.architecture, { uefi: manifest.metadata?.platform?.uefi }),
    )
  const machine = {
    reference,
    base: artifact.descriptor,
    manifest,
    ...(kernelFile && { kernel: kernelFile }),
    ...(initrd && { initrd: await file(initrd) }),
    ...(variables && { variables: { ...(await file(variables)), size: variables.size } }),
    layers: chain.files,
    virtualSize: virtualSizeOf(chain),
    disks: disks.map(({ prepared }) => prepared),
    warnings: [...warnings, ...foreignLayers(chain), ...disks.flatMap(({ warnings }) => warnings)],
  }
  return { machine, chain }
}

/**
 * Raw layers whose bytes are those of something else (OVMS-DSK-041): the guest sees them as they are, and hardly what
 * was meant.
 */
function foreignLayers({ infos }: Chain, disk = "disk"): string[] {
  return infos.flatMap(({ looksLike }, index) =>
    looksLike ? [`${disk} layer ${index} is declared raw, but looks like ${looksLike}`] : [],
  )
}

/** Of the disk that the guest sees, in bytes; 0 without a disk. */
export function virtualSizeOf({ infos }: Chain): number {
  return infos.at(-1)?.virtualSize ?? 0
}

/** Where layers are, and the name of the image that they are of. */
export interface LayerSource {
  readonly store: LayoutStore
  readonly reference: string
  /** What the disk is called, unless it is the first. */
  readonly disk?: string
}

/** The files of layers, the lowest first, on top of `below`: judged one by one and as one chain. */
export async function chainOf(
  { store, reference, disk = "disk" }: LayerSource,
  layers: readonly DiskBlob[],
  call: Call,
  below: Chain = { files: [], infos: [] },
): Promise<Chain> {
  const files = await Promise.all(
    layers.map(async ({ descriptor, format }) => ({
      path: await localFile(store, reference, descriptor, call),
      format,
    })),
  )
  const inspected = await Promise.all(
    files.map(({ path, format }, index) => {
      const level = below.infos.length + index
      const role = level === 0 ? "base" : "diff"
      return named(reference, `${disk} layer ${level}`, () => inspectOnce(path, { format, role, ...call }))
    }),
  )
  const infos = [...below.infos, ...inspected]
  await named(reference, disk, () => checkChain(infos))
  return { files: [...below.files, ...files], infos }
}

/**
 * What inspecting found, by format, role and path. A blob's path has its digest in it, and its content is verified
 * before each use: so the finding stays true.
 */
const inspected = new Map<string, DiskInfo>()
const MOST_INSPECTED = 256

async function inspectOnce(path: string, options: InspectOptions): Promise<DiskInfo> {
  const key = `${options.format} ${options.role} ${path}`
  const known = inspected.get(key)
  if (known) return known
  const found = await inspectDisk(path, options)
  if (inspected.size >= MOST_INSPECTED) inspected.clear()
  inspected.set(key, found)
  return found
}

/** Does `work`. Its errors name a file of the store; they are made to name the image and its part as well. */
async function named<T>(reference: string, part: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    const { code, message, detail, hint } = toOvmError(thrown)
    const options = { cause: thrown, detail, ...(hint !== undefined && { hint }) }
    throw new OvmError(code, `${reference}: ${part}: ${message}`, options)
  }
}

/**
 * The path of `target` in the store. Its content is verified again if the file changed since it last was. Throws
 * OVM_CONTENT_MISSING, OVM_DIGEST_MISMATCH, OVM_SIZE_MISMATCH.
 */
export async function localFile(
  store: LayoutStore,
  reference: string,
  target: Descriptor,
  call: Call,
): Promise<string> {
  const path = await store.path(target, call)
  if (path !== undefined) return path
  throw new OvmError(
    "OVM_CONTENT_MISSING",
    `${reference}: ${target.mediaType} ${target.digest} is not in the store`,
    { hint: `ovm pull ${reference}` },
  )
}
