import { digestOf } from "../../content/digest.ts"
import type { Call } from "../../content/interfaces.ts"
import { readAll } from "../../content/read.ts"
import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import { type ArchivedFile, contentIn, filesInTar } from "../archive/files.ts"
import { readConfig } from "./config.ts"
import { type ContainerImage, checkImage } from "./image.ts"
import { CONTAINER_LIMITS, fault } from "./limits.ts"

const MANIFEST = "manifest.json"

/** What is in the tar archive `path`, by name. Throws OVM_ARTIFACT_INVALID, OVM_FILE_UNREADABLE. */
export async function tarMembers(path: string, call: Call = {}): Promise<ReadonlyMap<string, ArchivedFile>> {
  const files = await Array.fromAsync(filesInTar(path, call, () => {}))
  return new Map(files.map((file) => [file.name, file]))
}

/** Whether these are the names of an archive as `docker save` wrote it before it wrote OCI layouts. */
export function isDockerArchive(members: ReadonlyMap<string, unknown>): boolean {
  return members.has(MANIFEST) && !members.has("oci-layout")
}

/**
 * The one image of such an archive, read where it lies. Throws OVM_ARTIFACT_INVALID, and OVM_UNSUPPORTED as
 * readContainer does.
 */
export async function readDockerArchive(
  path: string,
  members: ReadonlyMap<string, ArchivedFile>,
  call: Call = {},
): Promise<ContainerImage> {
  const read = async (name: string, limit: number) =>
    await readAll(contentIn(path, memberOf(path, members, name), call), limit, `${path}: ${name}`)
  const listed = imagesIn(await read(MANIFEST, CONTAINER_LIMITS.configBytes), path)
  const [only, ...others] = listed
  if (!only || others.length > 0) throw fault(path, `it has ${listed.length} images, not one`)
  const bytes = await read(only.config, CONTAINER_LIMITS.configBytes)
  const config = readConfig(bytes, path)
  const layers = only.layers.map((name, index) => {
    const member = memberOf(path, members, name)
    const digest = config.diffIds[index] ?? digestOf(name)
    return { digest, open: async (call: Call) => contentIn(path, member, call) }
  })
  return checkImage({ what: path, digest: digestOf(bytes), config, layers })
}

function imagesIn(bytes: Uint8Array, path: string): { readonly config: string; readonly layers: string[] }[] {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder().decode(bytes))
  } catch (cause) {
    throw new OvmError("OVM_ARTIFACT_INVALID", `${path}: its ${MANIFEST} is not JSON`, { cause })
  }
  if (!Array.isArray(value)) throw fault(path, `its ${MANIFEST} is not an array`)
  return value.map((one: unknown) => {
    const { Config: config, Layers: layers } = isObject(one) ? one : {}
    const isText = (name: unknown): name is string => typeof name === "string"
    if (!isText(config) || !Array.isArray(layers) || !layers.every(isText))
      throw fault(path, `its ${MANIFEST} does not say what its image is`)
    return { config, layers }
  })
}

function memberOf(path: string, members: ReadonlyMap<string, ArchivedFile>, name: string): ArchivedFile {
  const found = members.get(name)
  if (found) return found
  throw fault(path, `${JSON.stringify(name)} is not in it`)
}
