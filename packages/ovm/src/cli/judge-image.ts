import { type Artifact, readArtifact } from "../artifact/machine/read.ts"
import { isSnapshot, readSnapshot, type Snapshot } from "../artifact/snapshot/read.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Call, LocalFile } from "../content/interfaces.ts"
import { checkChain } from "../disk/chain.ts"
import { type DiskInfo, inspectDisk } from "../disk/inspect.ts"
import { OvmError, toOvmError } from "../errors.ts"
import { checkKernel } from "../kernel.ts"
import { locate } from "./locate.ts"
import type { RegistryOptions } from "./registry.ts"
import type { AnyFault, Verdict } from "./verdict.ts"

/**
 * Judges an artifact: its documents, and where its content is on this host also digests, kernel and disks. Throws what kept it from
 * judging: OVM_NAME_UNKNOWN, OVM_FILE_UNREADABLE, what a registry fails with.
 */
export async function judgeImage(text: string, options: RegistryOptions & Call): Promise<Verdict> {
  await using found = await locate(text, { ...options, hold: true })
  try {
    if (await isSnapshot(found.source, found.target, options)) {
      const snapshot = await readSnapshot(found.source, found.target, options)
      return { kind: "snapshot", faults: found.files ? await blobFaults(snapshot, found.files) : [] }
    }
    const artifact = await readArtifact(found.source, found.target, options)
    return { kind: "image", faults: found.files ? await contentFaults(artifact, found.files, options) : [] }
  } catch (thrown) {
    return { kind: "image", faults: faultsOf(toOvmError(thrown)) }
  }
}

/** The faults that a reader refused a document for; an error of another kind is passed on. */
function faultsOf(error: OvmError): readonly AnyFault[] {
  const { detail } = error
  if (Array.isArray(detail) && detail.every((fault) => typeof fault?.requirement === "string")) return detail
  if (error.class !== "invalid" && error.class !== "refused") throw error
  return [toFault("", error)]
}

/** The base is an image of its own. */
async function blobFaults({ oci }: Snapshot, files: LocalFile): Promise<AnyFault[]> {
  const faults: AnyFault[] = []
  for (const [index, layer] of oci.layers.entries())
    await pathOf(files, layer).catch((thrown: unknown) =>
      faults.push(toFault(`/layers/${index}`, toOvmError(thrown))),
    )
  return faults
}

async function contentFaults(artifact: Artifact, files: LocalFile, call: Call): Promise<AnyFault[]> {
  const faults: AnyFault[] = []
  const attempt = async <T>(pointer: string, work: () => Promise<T> | T): Promise<T | undefined> => {
    try {
      return await work()
    } catch (thrown) {
      call.signal?.throwIfAborted()
      faults.push(toFault(pointer, toOvmError(thrown)))
      return undefined
    }
  }
  const { kernel, initrd, layers } = artifact
  if (kernel) await attempt("/kernel/ref", async () => checkKernel(await pathOf(files, kernel)))
  if (initrd) await attempt("/initrd/ref", () => pathOf(files, initrd))
  const chain: DiskInfo[] = []
  for (const [index, { descriptor, format }] of layers.entries()) {
    const role = index === 0 ? "base" : "diff"
    const info = await attempt(`/diskLayers/${index}/ref`, async () =>
      inspectDisk(await pathOf(files, descriptor), { ...call, format, role }),
    )
    if (info) chain.push(info)
  }
  // A chain with a gap says nothing about what is above the gap.
  if (chain.length === layers.length) await attempt("/diskLayers", () => checkChain(chain))
  return faults
}

async function pathOf(files: LocalFile, target: Descriptor): Promise<string> {
  const path = await files.path(target)
  if (path !== undefined) return path
  throw new OvmError("OVM_CONTENT_MISSING", `${target.mediaType} ${target.digest} is missing`)
}

function toFault(pointer: string, { code, message, detail }: OvmError): AnyFault {
  const { requirement } = (detail ?? {}) as { requirement?: unknown }
  return {
    document: "manifest",
    pointer,
    ...(typeof requirement === "string" && { requirement }),
    code,
    message,
  }
}
