import { type Digest, isDigest } from "../content/digest.ts"
import { OvmError } from "../errors.ts"

// distribution-spec: spec.md, "Pulling manifests".
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const HOST_LABEL = /^(?!-)[a-z0-9-]{1,63}(?<!-)$/
const IPV6 = /^\[[0-9a-f:.]{2,45}\]$/
const NAME_LIMIT = 255
const TEXT_LIMIT = 512

/** True for the name of a repository, without a host (distribution-spec: spec.md, "Pulling manifests"). */
export function isRepository(text: string): boolean {
  return text.length <= NAME_LIMIT && REPOSITORY.test(text)
}

export function isTag(text: string): boolean {
  return TAG.test(text)
}

interface Parts {
  readonly host?: string | undefined
  readonly repository: string
  readonly tag?: string | undefined
  readonly digest?: Digest | undefined
}

/** The name of an image: `[host[:port]/]repository[:tag][@digest]` (spec/references.md). Without a host it is local. */
export class Reference implements Parts {
  readonly host: string | undefined
  readonly repository: string
  readonly tag: string | undefined
  readonly digest: Digest | undefined

  constructor(parts: Parts) {
    this.host = parts.host
    this.repository = parts.repository
    this.tag = parts.tag
    this.digest = parts.digest
  }

  /** Host and repository. */
  get name(): string {
    return this.host === undefined ? this.repository : `${this.host}/${this.repository}`
  }

  /** What stands for the manifest within the repository: the digest, which is exact, before the tag. */
  get target(): string {
    return this.digest ?? this.tag ?? "latest"
  }

  /** Another tag of the same repository. Throws OVM_REFERENCE_INVALID. */
  withTag(tag: string): Reference {
    return parseReference(`${this.name}:${tag}`)
  }

  /** That manifest of the same repository. Throws OVM_REFERENCE_INVALID. */
  withDigest(digest: Digest): Reference {
    return parseReference(`${this.name}@${digest}`)
  }

  /** The canonical form, which parses to the same reference. */
  toString(): string {
    return this.name + (this.tag ? `:${this.tag}` : "") + (this.digest ? `@${this.digest}` : "")
  }
}

/** True for what the spec calls a path: `/…`, `./…` or `../…`, never an image's name (spec/references.md). */
export function isPath(text: string): boolean {
  return /^\.{0,2}\//.test(text) || text === "." || text === ".."
}

/**
 * Parses a name. The first of several components is a host if it has a dot or a colon, or is `localhost`; the tag is
 * `latest` if there is neither tag nor digest. Throws OVM_REFERENCE_INVALID, naming the reference and the fault.
 */
export function parseReference(text: string): Reference {
  const fault = (reason: string, hint?: string) => invalid(text, reason, hint)
  if (isPath(text)) throw fault("it is a path, not an image's name")
  if (isDigest(text)) throw fault("it is a digest without a repository")
  if (text.length > TEXT_LIMIT) throw fault(`it is longer than ${TEXT_LIMIT} characters`)

  const [beforeDigest = "", digest, ...more] = text.split("@")
  if (more.length > 0 || (digest !== undefined && !isDigest(digest)))
    throw fault("what follows @ is not a sha256 digest")

  const { host, rest } = splitHost(beforeDigest)
  const colon = rest.indexOf(":")
  const repository = colon < 0 ? rest : rest.slice(0, colon)
  const tag = colon < 0 ? undefined : rest.slice(colon + 1)

  if (host !== undefined && !isHost(host)) throw fault(`${JSON.stringify(host)} is not a host`)
  if (/[A-Z]/.test(repository)) throw fault("a repository has no upper-case letters", text.toLowerCase())
  if (!REPOSITORY.test(repository)) throw fault(`${JSON.stringify(repository)} is not a repository`)
  if (tag !== undefined && !TAG.test(tag)) throw fault(`${JSON.stringify(tag.slice(0, 140))} is not a tag`)
  if ((host?.length ?? -1) + 1 + repository.length > NAME_LIMIT)
    throw fault(`host and repository are longer than ${NAME_LIMIT} characters`)
  return new Reference({ host, repository, tag: tag ?? (digest ? undefined : "latest"), digest })
}

function splitHost(text: string): { host?: string; rest: string } {
  const slash = text.indexOf("/")
  const first = text.slice(0, Math.max(slash, 0))
  if (!/[.:]/.test(first) && first.toLowerCase() !== "localhost") return { rest: text }
  return { host: first.toLowerCase(), rest: text.slice(slash + 1) }
}

/** A host name or address with an optional port, in lower case. */
export function isHost(text: string): boolean {
  const [, name = "", port] = /^(.*?)(?::([0-9]{1,5}))?$/.exec(text) ?? []
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65535)) return false
  return IPV6.test(name) || (name.length <= 253 && name.split(".").every((label) => HOST_LABEL.test(label)))
}

function invalid(text: string, reason: string, hint?: string): OvmError {
  const shown = JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)
  return new OvmError("OVM_REFERENCE_INVALID", `${shown} is not an image reference: ${reason}`, {
    detail: { reference: text.slice(0, TEXT_LIMIT) },
    hint: hint ?? "write [HOST[:PORT]/]REPOSITORY[:TAG][@sha256:…]",
  })
}
