import { digestOf } from "../../content/digest.ts"
import { dockerName } from "../../content/docker-name.ts"
import type { Call } from "../../content/interfaces.ts"
import { readAll } from "../../content/read.ts"
import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import { contentIn } from "../archive/files.ts"
import { memberCalled, type TarMembers } from "../archive/members.ts"
import { readConfig } from "./config.ts"
import { type ContainerImage, checkImage } from "./image.ts"
import { CONTAINER_LIMITS, fault } from "./limits.ts"

const MANIFEST = "manifest.json"
/** All that Docker wrote before 1.10, and beside the manifest for those after it. */
const REPOSITORIES = "repositories"

/** Whether these are the names of an archive as `docker save` wrote it before it wrote OCI layouts. */
export function isDockerArchive({ files }: TarMembers): boolean {
  return (files.has(MANIFEST) || files.has(REPOSITORIES)) && !files.has("oci-layout")
}

/** An archive in a file. */
export interface DockerArchive {
  readonly path: string
  /** In messages. */
  readonly what: string
  readonly members: TarMembers
  /** Which of its images, by name or as `@` and a number from 0; the only one unless told. */
  readonly which?: string
}

/**
 * The image of such an archive, read where it lies. Throws OVM_ARTIFACT_INVALID, OVM_NAME_UNKNOWN for an image that is
 * not there, and OVM_UNSUPPORTED as readContainer does and for an archive of Docker's before 1.10.
 */
export async function readDockerArchive(archive: DockerArchive, call: Call = {}): Promise<ContainerImage> {
  const { path, what, members } = archive
  if (!members.files.has(MANIFEST))
    throw new OvmError(
      "OVM_UNSUPPORTED",
      `${what}: it has no ${MANIFEST}, as archives of Docker before 1.10`,
      {
        hint: "docker load it with Docker 1.10 or later, and docker save it there",
      },
    )
  const memberOf = (name: string) => {
    const found = memberCalled(name, members)
    if (typeof found === "string") throw fault(what, found)
    return found
  }
  const read = async (name: string) =>
    await readAll(contentIn(path, memberOf(name), call), CONTAINER_LIMITS.configBytes, `${what}: ${name}`)
  const image = chosen(imagesIn(await read(MANIFEST), what), archive)
  const bytes = await read(image.config)
  const config = readConfig(bytes, what)
  const layers = image.layers.map((name, index) => {
    const member = memberOf(name)
    const digest = config.diffIds[index] ?? digestOf(name)
    return { digest, open: async (call: Call) => contentIn(path, member, call) }
  })
  return checkImage({ what, digest: digestOf(bytes), config, layers })
}

interface ListedImage {
  readonly config: string
  readonly layers: readonly string[]
  readonly names: readonly string[]
}

function imagesIn(bytes: Uint8Array, what: string): readonly ListedImage[] {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder().decode(bytes))
  } catch (cause) {
    throw new OvmError("OVM_ARTIFACT_INVALID", `${what}: its ${MANIFEST} is not JSON`, { cause })
  }
  if (!Array.isArray(value)) throw fault(what, `its ${MANIFEST} is not an array`)
  return value.map((one: unknown) => {
    const { Config: config, Layers: layers, RepoTags: names } = isObject(one) ? one : {}
    const isText = (name: unknown): name is string => typeof name === "string"
    // Go writes null for an empty list.
    const listed = layers ?? []
    if (!isText(config) || !Array.isArray(listed) || !listed.every(isText))
      throw fault(what, `its ${MANIFEST} does not say what its image is`)
    return { config, layers: listed, names: Array.isArray(names) ? names.filter(isText) : [] }
  })
}

/** Of several with one name the last, as `docker load` has it. */
function chosen(listed: readonly ListedImage[], { what, path, which }: DockerArchive): ListedImage {
  const called = listed.map(({ names }, at) => names[0] ?? `@${at}`)
  const hint = called.length > 0 ? { hint: `say which: ${path}:${called[0]}` } : {}
  if (which !== undefined) {
    const at = /^@\d{1,9}$/.test(which) ? Number(which.slice(1)) : undefined
    const wanted = dockerName(which)
    const found =
      at === undefined
        ? listed.findLast(({ names }) => names.some((name) => dockerName(name) === wanted))
        : listed[at]
    if (found) return found
    throw new OvmError("OVM_NAME_UNKNOWN", `${which} is not in ${what}`, {
      detail: { names: called },
      ...hint,
    })
  }
  const [only, ...others] = listed
  if (only && others.length === 0) return only
  throw new OvmError("OVM_ARTIFACT_INVALID", `${what}: it has ${listed.length} images, not one`, {
    detail: { names: called },
    ...hint,
  })
}
