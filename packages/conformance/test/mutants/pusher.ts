import { createHash } from "node:crypto"
import { readFile } from "node:fs/promises"
import { join } from "node:path"

const OCI = "application/vnd.oci.image.manifest.v1+json"
const INDEX = "application/vnd.oci.image.index.v1+json"

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}
interface Oci {
  readonly artifactType?: string
  readonly annotations?: object
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  readonly subject?: Descriptor
}

/** Pushes as an implementation would that has nothing but this one fault. Returns the exit status. */
export async function push(fault: string, layout: string, reference: string): Promise<number> {
  try {
    await new Pusher(fault, layout, reference).all()
    return 0
  } catch (thrown) {
    process.stderr.write(`error: OVM_REGISTRY_FAILED: ${(thrown as Error).message}\n`)
    return 6
  }
}

class Pusher {
  readonly #base: string
  readonly #tag: string

  constructor(
    private readonly fault: string,
    private readonly layout: string,
    reference: string,
  ) {
    const [, host, repository, tag = ""] = /^([^/]+)\/(.+):([^:/]+)$/.exec(reference) ?? []
    this.#base = `http://${host}/v2/${repository}`
    this.#tag = tag
  }

  async all(): Promise<void> {
    const { manifests } = JSON.parse(await readFile(join(this.layout, "index.json"), "utf8"))
    const [entry] = manifests as [Descriptor]
    const { subject } = JSON.parse((await this.#blob(entry)).toString()) as Oci
    const late = this.fault === "sends the base after its snapshot"
    if (subject && !late) await this.#artifact(subject, subject.digest)
    if (this.fault === "gives the tag before the rest") await this.#artifact(entry, this.#tag)
    if (late) await this.#artifact(entry, entry.digest)
    if (subject && late) await this.#artifact(subject, subject.digest)
    await this.#artifact(entry, this.fault === "gives the tag before the rest" ? entry.digest : this.#tag)
  }

  async #blob({ digest }: Descriptor): Promise<Buffer> {
    const bytes = await readFile(join(this.layout, "blobs/sha256", digest.slice("sha256:".length)))
    if (digestOf(bytes) !== digest) throw new Error(`${digest} is damaged`)
    return bytes
  }

  async #artifact(descriptor: Descriptor, name: string): Promise<void> {
    const bytes = await this.#blob(descriptor)
    const oci = JSON.parse(bytes.toString()) as Oci
    for (const part of [oci.config, ...oci.layers]) await this.#send(part)
    await this.#ask("PUT", `${this.#base}/manifests/${name}`, bytes, OCI)
    if (oci.subject && this.fault !== "leaves the fallback tag alone") await this.#list(descriptor, oci)
  }

  async #send(part: Descriptor): Promise<void> {
    const begun = await this.#ask("POST", `${this.#base}/blobs/uploads/`)
    const url = new URL(begun.headers.get("location") ?? "", this.#base)
    if (this.fault === "knows one place to upload to") url.search = ""
    url.searchParams.set("digest", part.digest)
    await this.#ask("PUT", url.href, await this.#blob(part))
  }

  async #list({ digest, size }: Descriptor, { subject, artifactType, annotations }: Oci): Promise<void> {
    const headers = await credentials(new URL(this.#base).host)
    if ((await fetch(`${this.#base}/referrers/${subject?.digest}`, { headers })).ok) return
    const place = `${this.#base}/manifests/${subject?.digest.replace(":", "-")}`
    const found = await fetch(place, { headers })
    const list = found.ok ? ((await found.json()) as { manifests: Descriptor[] }).manifests : []
    const others = this.fault === "writes the fallback tag anew" ? [] : list
    const said = this.fault === "lists digests alone" ? {} : { artifactType, annotations }
    const manifests = [...others, { mediaType: OCI, digest, size, ...said }]
    const index = JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests })
    await this.#ask("PUT", place, Buffer.from(index), INDEX)
  }

  async #ask(
    method: string,
    url: string,
    body?: Buffer,
    type = "application/octet-stream",
  ): Promise<Response> {
    const known = url.startsWith(this.#base) || this.fault === "says who it is wherever it sends"
    const headers = { "content-type": type, ...(known && (await credentials(new URL(this.#base).host))) }
    const answer = await fetch(url, { method, headers, ...(body && { body: Uint8Array.from(body) }) })
    if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status}`)
    return answer
  }
}

/** Those of the configuration file for a host. */
async function credentials(host: string): Promise<Record<string, string>> {
  const folder = process.env.DOCKER_CONFIG
  if (folder === undefined) return {}
  const { auths } = JSON.parse(await readFile(join(folder, "config.json"), "utf8"))
  return { authorization: `Basic ${auths[host]?.auth}` }
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`
}
