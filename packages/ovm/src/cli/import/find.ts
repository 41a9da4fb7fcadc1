import { existsSync, statSync } from "node:fs"
import { isArchive } from "../../content/archive/reader.ts"
import type { Call } from "../../content/interfaces.ts"
import { splitPlace } from "../../content/place.ts"
import { isDockerArchive, readDockerArchive, tarMembers } from "../../convert/container/docker-archive.ts"
import { type ContainerImage, readContainer } from "../../convert/container/image.ts"
import { isPath } from "../../registry/reference.ts"
import { type Opened, openInRegistry, openPath } from "../place/open.ts"
import { parseWhere } from "../place/where.ts"
import type { RegistryOptions } from "../registry.ts"

/** A container image where it is. Dispose of it when it was read. */
export interface FoundContainer extends AsyncDisposable {
  readonly image: ContainerImage
  /** Of one in a registry: its name. */
  readonly reference?: string
}

/**
 * The container image that `text` names: an OCI layout, the archive of one, an archive of Docker's, or a name in a
 * registry (`docker://` may stand before it). Undefined where it is a file that is none of these. Throws as openPath
 * and openInRegistry do.
 */
export async function findContainer(
  text: string,
  options: RegistryOptions & Call,
): Promise<FoundContainer | undefined> {
  const [, prefix, rest = ""] = /^(docker-archive|oci|oci-archive):(.*)$/s.exec(text) ?? []
  if (prefix === "docker-archive") return inDockerArchive(rest, options)
  if (prefix !== undefined) return opened(await openPath(rest, options), options)
  if (!text.startsWith("docker://") && (isPath(text) || existsSync(text))) return atPath(text, options)
  const where = parseWhere(text)
  if (where.kind !== "registry") return undefined
  return opened(await openInRegistry(where.reference, options), options)
}

async function atPath(text: string, options: Call): Promise<FoundContainer | undefined> {
  const { path, directory } = await splitPlace(text)
  if (directory) return opened(await openPath(text, options), options)
  if (!statSync(path).isFile() || !(await isArchive(path))) return undefined
  const members = await tarMembers(path, options).catch(() => new Map())
  if (isDockerArchive(members)) return inDockerArchive(path, options)
  return members.has("oci-layout") ? opened(await openPath(text, options), options) : undefined
}

async function inDockerArchive(path: string, call: Call): Promise<FoundContainer> {
  const image = await readDockerArchive(path, await tarMembers(path, call), call)
  return { image, [Symbol.asyncDispose]: async () => {} }
}

async function opened(place: Opened, call: Call): Promise<FoundContainer> {
  const close = () => place[Symbol.asyncDispose]()
  try {
    const image = await readContainer(place.source, place.target, place.name, call)
    return {
      image,
      ...(place.reference?.host !== undefined && { reference: place.name }),
      [Symbol.asyncDispose]: close,
    }
  } catch (thrown) {
    await close()
    throw thrown
  }
}
