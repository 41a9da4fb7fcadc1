import type { Fault } from "../artifact/faults.ts"
import type { DiskBlob } from "../artifact/machine/mapping.ts"
import { type Artifact, readArtifact } from "../artifact/machine/read.ts"
import { machinesIn } from "../artifact/platforms/machines.ts"
import { checkMachine, isIndex, readMachineIndex } from "../artifact/platforms/read.ts"
import { isSnapshot, readSnapshot, type Snapshot } from "../artifact/snapshot/read.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Call, Fetcher, LocalFile, ReferrerLister } from "../content/interfaces.ts"
import { checkChain } from "../disk/chain.ts"
import { type DiskInfo, inspectDisk } from "../disk/inspect.ts"
import { OvmError, toOvmError } from "../errors.ts"
import { checkKernelFor } from "../kernel.ts"

/** A fault of a document, or of content, which breaks no single requirement. */
export type ImageFault = Omit<Fault, "requirement"> & Partial<Pick<Fault, "requirement">>

/** Where an artifact is: its documents, and where its content is in files of this host these. */
export interface ImageSource {
  readonly source: Fetcher & ReferrerLister
  readonly target: Descriptor
  readonly files?: LocalFile
}

/**
 * Judges an artifact: its documents, and where its content is on this host also digests, kernel and disks. Throws
 * what kept it from judging: OVM_INTERRUPTED, and what the source fails with.
 */
export async function judgeImage(
  { source, target, files }: ImageSource,
  call: Call = {},
): Promise<{ readonly kind: "image" | "snapshot" | "index"; readonly faults: readonly ImageFault[] }> {
  try {
    if (isIndex(target))
      return { kind: "index", faults: await indexFaults({ source, target, ...(files && { files }) }, call) }
    if (await isSnapshot(source, target, call)) {
      const snapshot = await readSnapshot(source, target, call)
      return { kind: "snapshot", faults: files ? await blobFaults(snapshot, files) : [] }
    }
    const artifact = await readArtifact(source, target, call)
    return { kind: "image", faults: files ? await contentFaults(artifact, files, call) : [] }
  } catch (thrown) {
    return { kind: "image", faults: faultsOf(toOvmError(thrown)) }
  }
}

/** Of the index, and of each of its machines that is there. */
async function indexFaults(
  { source, target, files }: ImageSource,
  call: Call,
): Promise<readonly ImageFault[]> {
  const faults: ImageFault[] = []
  for (const machine of machinesIn(await readMachineIndex(source, target, call)))
    try {
      await checkMachine(source, machine, call)
      const one = { source, target: machine.descriptor, ...(files && { files }) }
      faults.push(...(await judgeImage(one, call)).faults)
    } catch (thrown) {
      const error = toOvmError(thrown)
      // Of an index that was pulled some may not be here.
      if (error.code !== "OVM_CONTENT_MISSING") faults.push(...faultsOf(error))
    }
  return faults
}

/** The faults that a reader refused a document for; an error of another kind is passed on. */
function faultsOf(error: OvmError): readonly ImageFault[] {
  const { detail } = error
  if (Array.isArray(detail) && detail.every((fault) => typeof fault?.requirement === "string")) return detail
  if (error.class !== "invalid" && error.class !== "refused") throw error
  return [toFault("", error)]
}

/** The base is an image of its own. */
async function blobFaults({ oci }: Snapshot, files: LocalFile): Promise<ImageFault[]> {
  const faults: ImageFault[] = []
  for (const [index, layer] of oci.layers.entries())
    await pathOf(files, layer).catch((thrown: unknown) =>
      faults.push(toFault(`/layers/${index}`, toOvmError(thrown))),
    )
  return faults
}

async function contentFaults(artifact: Artifact, files: LocalFile, call: Call): Promise<ImageFault[]> {
  const faults: ImageFault[] = []
  const attempt = async <T>(pointer: string, work: () => Promise<T> | T): Promise<T | undefined> => {
    try {
      return await work()
    } catch (thrown) {
      call.signal?.throwIfAborted()
      faults.push(toFault(pointer, toOvmError(thrown)))
      return undefined
    }
  }
  const { kernel, initrd, layers, disks, variables } = artifact
  const { architecture, metadata } = artifact.manifest
  if (kernel)
    await attempt("/kernel/ref", async () =>
      checkKernelFor(await pathOf(files, kernel), architecture, { uefi: metadata?.platform?.uefi }),
    )
  if (initrd) await attempt("/initrd/ref", () => pathOf(files, initrd))
  if (variables) await attempt("/firmware/variables/ref", () => pathOf(files, variables))
  const judgeDisk = async (pointer: string, blobs: readonly DiskBlob[]) => {
    const chain: DiskInfo[] = []
    for (const [index, { descriptor, format }] of blobs.entries()) {
      const role = index === 0 ? "base" : "diff"
      const info = await attempt(`${pointer}/${index}/ref`, async () =>
        inspectDisk(await pathOf(files, descriptor), { ...call, format, role }),
      )
      if (info) chain.push(info)
    }
    // A chain with a gap says nothing about what is above the gap.
    if (chain.length === blobs.length) await attempt(pointer, () => checkChain(chain))
  }
  await judgeDisk("/diskLayers", layers)
  for (const [at, { layers = [] }] of disks.entries()) await judgeDisk(`/disks/${at}/layers`, layers)
  return faults
}

async function pathOf(files: LocalFile, target: Descriptor): Promise<string> {
  const path = await files.path(target)
  if (path !== undefined) return path
  throw new OvmError("OVM_CONTENT_MISSING", `${target.mediaType} ${target.digest} is missing`)
}

function toFault(pointer: string, { code, message, detail }: OvmError): ImageFault {
  const { requirement } = (detail ?? {}) as { requirement?: unknown }
  return {
    document: "manifest",
    pointer,
    ...(typeof requirement === "string" && { requirement }),
    code,
    message,
  }
}
