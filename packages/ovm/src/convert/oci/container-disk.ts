import { StreamInput } from "../../content/archive/input.ts"
import { readTar } from "../../content/archive/tar.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import type { Bytes, Call, Fetcher } from "../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import { inflated } from "../inflated.ts"
import type { OciDocument } from "./documents.ts"

/** More than a disk in a container image has. */
const MOST_LAYERS = 16
/** Bytes of a layer, inflated: folders alone are before a disk. */
const LOOKED_AT = 2 ** 24

/**
 * The layer with the disk of KubeVirt's containerDisk: an image that has files below `/disk/` alone. Undefined for an
 * image of other files, which the first file of a layer tells. Throws OVM_DISK_INVALID for disks in several layers, and
 * what `source` throws.
 */
export async function diskLayerOf(
  source: Fetcher,
  { parts }: OciDocument,
  what: string,
  call: Call,
): Promise<Descriptor | undefined> {
  if (parts.length > MOST_LAYERS) return undefined
  const disks: Descriptor[] = []
  for (const layer of parts) {
    const first = await firstFile(await source.fetch(layer, call), what, call)
    if (first === undefined) continue
    if (!first.startsWith("disk/")) return undefined
    disks.push(layer)
  }
  if (disks.length < 2) return disks[0]
  throw new OvmError("OVM_DISK_INVALID", `${what} has disks in ${disks.length} layers`)
}

/** Its name; that of an entry that is neither file nor folder, or comes late, is none of a disk's. */
async function firstFile(layer: Bytes, what: string, call: Call): Promise<string | undefined> {
  const content = await inflated(layer, "a layer")
  try {
    for await (const { name, directory } of readTar(new StreamInput(beginning(content), call), what))
      if (!directory) return name
    return undefined
  } catch (thrown) {
    // What is strange about a layer is for those to say who take its files.
    if (toOvmError(thrown).code === "OVM_ARTIFACT_INVALID") return ""
    throw thrown
  } finally {
    // What it comes from is not read on.
    await content.return(undefined)
  }
}

async function* beginning(content: Bytes): Bytes {
  let size = 0
  for await (const chunk of content) {
    yield chunk
    size += chunk.byteLength
    if (size > LOOKED_AT) return
  }
}
