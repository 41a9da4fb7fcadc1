import { existsSync, statSync } from "node:fs"
import { isArchive } from "../../content/archive/reader.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import type { Call, Fetcher } from "../../content/interfaces.ts"
import { type ArtifactPlace, splitPlace } from "../../content/place.ts"
import { type TarMembers, tarMembers } from "../../convert/archive/members.ts"
import { isDockerArchive, readDockerArchive } from "../../convert/container/docker-archive.ts"
import { type ContainerImage, readContainer } from "../../convert/container/image.ts"
import { isImageFolder, openImageFolder } from "../../convert/oci/folder.ts"
import { type OciSource, ociSource } from "../../convert/oci/source.ts"
import { OvmError } from "../../errors.ts"
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
 * The artifact or container image that `text` names: in an OCI layout, the archive of one, an archive of Docker's, a
 * folder of skopeo's, or a registry (`docker://` may stand before the name). Undefined where it is a file that is none
 * of these, or nothing. Throws as openPath, openInRegistry, ociSource and readContainer do, and OVM_UNSUPPORTED.
 */
export async function findSource(
  text: string,
  options: RegistryOptions & Call,
): Promise<FoundSource | undefined> {
  const [, prefix, rest = ""] = /^(docker-archive|oci|oci-archive|dir):(.*)$/s.exec(text) ?? []
  if (prefix === "dir") return await inFolder(rest, options)
  if (prefix === "docker-archive") {
    const place = await splitPlace(rest)
    return inDockerArchive(place, await tarMembers(place.path, options), options)
  }
  if (prefix !== undefined) return opened(await openPath(rest, options), options)
  refuseEngines(text)
  if (!text.startsWith("docker://") && (isPath(text) || existsSync(text))) return atPath(text, options)
  const where = whereOf(text)
  if (where?.kind !== "registry") return atPath(text, options)
  return opened(await openInRegistry(where.reference, options), options)
}

/** Undefined for what is no name either. */
function whereOf(text: string): Where | undefined {
  try {
    return parseWhere(text)
  } catch (thrown) {
    if (text.includes("://")) throw thrown
    return undefined
  }
}

async function atPath(text: string, options: Call): Promise<FoundSource | undefined> {
  const place = await splitPlace(text)
  const { path, directory } = place
  if (directory && (await isImageFolder(path))) return await inFolder(path, options)
  if (directory) return opened(await openPath(text, options), options)
  if (!statSync(path).isFile() || !(await isArchive(path))) return undefined
  const members = await tarMembers(path, options).catch(() => undefined)
  if (members && isDockerArchive(members)) return inDockerArchive(place, members, options)
  return members?.files.has("oci-layout") ? opened(await openPath(text, options), options) : undefined
}

async function inDockerArchive(
  { path, tag: which }: ArtifactPlace,
  members: TarMembers,
  call: Call,
): Promise<FoundSource> {
  const archive = { path, what: path, members, ...(which !== undefined && { which }) }
  const image = await readDockerArchive(archive, call)
  return { container: { image }, [Symbol.asyncDispose]: async () => {} }
}

/** Images that an engine keeps are its own: it has to hand them out. */
function refuseEngines(text: string): void {
  const [, prefix, name = ""] = /^(docker-daemon|containers-storage):(.*)$/s.exec(text) ?? []
  if (prefix === undefined) return
  const program = prefix === "docker-daemon" ? "docker" : "podman"
  throw new OvmError("OVM_UNSUPPORTED", `${text}: what an engine keeps is taken from an archive`, {
    hint: `${program} save -o image.tar ${name}; then ovm import image.tar`,
  })
}

async function inFolder(path: string, call: Call): Promise<FoundSource> {
  const { source, target } = await openImageFolder(path)
  return await foundIn({ source, target, named: path }, {}, async () => {}, call)
}

async function opened(place: Opened, call: Call): Promise<FoundSource> {
  const close = async () => await place[Symbol.asyncDispose]()
  const { source, target, name: named, reference } = place
  const about = { place, ...(reference?.host !== undefined && { reference: named }) }
  try {
    return await foundIn({ source, target, named }, about, close, call)
  } catch (thrown) {
    await close()
    throw thrown
  }
}

/** What `target` is, with what is known `about` it if it is a container image. */
async function foundIn(
  {
    source,
    target,
    named,
  }: { readonly source: Fetcher; readonly target: Descriptor; readonly named: string },
  about: Omit<FoundContainer, "image">,
  close: () => Promise<void>,
  call: Call,
): Promise<FoundSource> {
  const found = await ociSource(source, target, named, call)
  if (found.kind === "machine") return { machine: named, [Symbol.asyncDispose]: close }
  if (found.kind !== "container") return { artifact: { found, source, named }, [Symbol.asyncDispose]: close }
  const image = await readContainer(source, found.manifest, named, call)
  return { container: { image, ...about }, [Symbol.asyncDispose]: close }
}
