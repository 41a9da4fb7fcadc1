import { existsSync, statSync } from "node:fs"
import { isArchive } from "../../content/archive/reader.ts"
import type { Call, Fetcher } from "../../content/interfaces.ts"
import { splitPlace } from "../../content/place.ts"
import { isDockerArchive, readDockerArchive, tarMembers } from "../../convert/container/docker-archive.ts"
import { type ContainerImage, readContainer } from "../../convert/container/image.ts"
import { type OciSource, ociSource } from "../../convert/oci/source.ts"
import { isPath } from "../../registry/reference.ts"
import { type Opened, openInRegistry, openPath } from "../place/open.ts"
import { parseWhere, type Where } from "../place/where.ts"
import type { RegistryOptions } from "../registry.ts"

/** A container image where it is. */
export interface FoundContainer {
  readonly image: ContainerImage
  /** Of one in a registry: its name. */
  readonly reference?: string
  /** Where it was found, and what may be beside it; an archive of Docker's has nothing there. */
  readonly place?: Pick<Opened, "source" | "target" | "reference">
}

/** What is to be taken in, where it is no file of a disk. Dispose of it when it was read. */
export interface FoundSource extends AsyncDisposable {
  readonly container?: FoundContainer
  readonly artifact?: {
    readonly found: Exclude<OciSource, { readonly kind: "container" | "machine" }>
    readonly source: Fetcher
    readonly named: string
  }
  /** The name of a machine of OVMS. */
  readonly machine?: string
}

/**
 * The artifact or container image that `text` names: in an OCI layout, the archive of one, an archive of Docker's, or a
 * registry (`docker://` may stand before the name). Undefined where it is a file that is none of these, or nothing.
 * Throws as openPath, openInRegistry, ociSource and readContainer do.
 */
export async function findSource(
  text: string,
  options: RegistryOptions & Call,
): Promise<FoundSource | undefined> {
  const [, prefix, rest = ""] = /^(docker-archive|oci|oci-archive):(.*)$/s.exec(text) ?? []
  if (prefix === "docker-archive") return inDockerArchive(rest, await tarMembers(rest, options), options)
  if (prefix !== undefined) return opened(await openPath(rest, options), options)
  if (!text.startsWith("docker://") && (isPath(text) || existsSync(text))) return atPath(text, options)
  const where = whereOf(text)
  if (where?.kind !== "registry") return undefined
  return opened(await openInRegistry(where.reference, options), options)
}

/** Undefined for what is no name either: a file that is not there, then. */
function whereOf(text: string): Where | undefined {
  try {
    return parseWhere(text)
  } catch (thrown) {
    if (text.includes("://")) throw thrown
    return undefined
  }
}

async function atPath(text: string, options: Call): Promise<FoundSource | undefined> {
  const { path, directory } = await splitPlace(text)
  if (directory) return opened(await openPath(text, options), options)
  if (!statSync(path).isFile() || !(await isArchive(path))) return undefined
  const members = await tarMembers(path, options).catch(() => new Map())
  if (isDockerArchive(members)) return inDockerArchive(path, members, options)
  return members.has("oci-layout") ? opened(await openPath(text, options), options) : undefined
}

async function inDockerArchive(
  path: string,
  members: Awaited<ReturnType<typeof tarMembers>>,
  call: Call,
): Promise<FoundSource> {
  const image = await readDockerArchive(path, members, call)
  return { container: { image }, [Symbol.asyncDispose]: async () => {} }
}

async function opened(place: Opened, call: Call): Promise<FoundSource> {
  const close = () => place[Symbol.asyncDispose]()
  const { source, target, name: named, reference } = place
  try {
    const found = await ociSource(source, target, named, call)
    if (found.kind === "machine") return { machine: named, [Symbol.asyncDispose]: close }
    if (found.kind !== "container")
      return { artifact: { found, source, named }, [Symbol.asyncDispose]: close }
    const image = await readContainer(source, target, named, call)
    const container = { image, place, ...(reference?.host !== undefined && { reference: named }) }
    return { container, [Symbol.asyncDispose]: close }
  } catch (thrown) {
    await close()
    throw thrown
  }
}
