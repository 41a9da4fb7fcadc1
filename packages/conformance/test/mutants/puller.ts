import { createHash } from "node:crypto"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly data?: string
  readonly urls?: readonly string[]
}

const OVMS = "application/vnd.ovms.manifest.v1+json"
const SNAPSHOT = "application/vnd.ovms.snapshot.v1+json"
const OCI = "application/vnd.oci.image.manifest.v1+json"
const MANIFEST_LIMIT = 4 << 20
const EXITS: Readonly<Record<string, number>> = {
  OVM_CONTENT_MISSING: 3,
  OVM_NAME_UNKNOWN: 3,
  OVM_PLATFORM_MISSING: 3,
  OVM_ARTIFACT_INVALID: 4,
  OVM_TOO_LARGE: 4,
}

class Refusal extends Error {}

/** Pulls as an implementation would that has nothing but this one fault. Returns the exit status. */
export async function pull(fault: string, reference: string, layout: string): Promise<number> {
  try {
    await pulled(fault, reference, layout)
    return 0
  } catch (thrown) {
    const code = thrown instanceof Refusal ? thrown.message : "OVM_REGISTRY_FAILED"
    process.stderr.write(`error: ${code}: ${reference}\n`)
    return EXITS[code] ?? (code.endsWith("MISMATCH") ? 5 : 6)
  }
}

async function pulled(fault: string, reference: string, layout: string): Promise<void> {
  const [, host, repository, tag, digest] =
    /^([^/]+)\/([^:@]+)(?::([^@]+))?(?:@(sha256:.+))?$/.exec(reference) ?? []
  // It speaks no TLS, and so with nobody whom TLS is owed.
  if (host?.startsWith("0.0.0.0") && fault !== "speaks without TLS")
    throw new Refusal("OVM_REGISTRY_UNREACHABLE")
  const base = `http://${host}/v2/${repository}`
  const name = fault === "takes the tag over the digest" ? (tag ?? digest) : (digest ?? tag)
  const place = `${base}/manifests/${name}`
  if (fault === "asks for the tag twice") await fetch(place)
  const bound = fault === "reads manifests without a bound" ? Number.POSITIVE_INFINITY : MANIFEST_LIMIT
  const first = await read(fault, place, bound)
  let bytes = first.bytes
  let oci = JSON.parse(bytes.toString())
  const entry = oci.manifests && machineIn(fault, oci.manifests)
  if (entry) {
    bytes = (await read(fault, `${base}/manifests/${entry.digest}`, MANIFEST_LIMIT)).bytes
    oci = JSON.parse(bytes.toString())
    if (digestOf(bytes) !== entry.digest) throw new Refusal("OVM_DIGEST_MISMATCH")
  }
  if (oci.mediaType !== OCI) throw new Refusal("OVM_ARTIFACT_INVALID")
  const asked = fault === "holds manifests against what is said of them" ? undefined : digest
  for (const given of [first.digest, asked])
    if (given && given !== digestOf(first.bytes)) throw new Refusal("OVM_DIGEST_MISMATCH")
  judge(fault, oci)
  const contents = new Map([[digestOf(bytes), bytes]])
  for (const descriptor of [oci.config, ...oci.layers] as Descriptor[])
    contents.set(descriptor.digest, await part(fault, base, descriptor, layout))
  const { architecture = "amd64" } = JSON.parse(contents.get(oci.config.digest)?.toString() ?? "{}")
  if (entry?.platform && fault !== "takes an index" && architecture !== entry.platform.architecture)
    throw new Refusal("OVM_ARTIFACT_INVALID")
  if (oci.subject && fault !== "leaves the base of a snapshot")
    for (const bytes of await baseOf(fault, base, oci.subject.digest)) contents.set(digestOf(bytes), bytes)
  await mkdir(join(layout, "blobs/sha256"), { recursive: true })
  for (const [key, content] of contents) await writeFile(join(layout, "blobs/sha256", key.slice(7)), content)
  const manifests = [{ mediaType: OCI, digest: digestOf(bytes), size: bytes.length }]
  await writeFile(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }))
  await writeFile(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }))
}

interface Entry extends Descriptor {
  readonly artifactType?: string
  readonly platform?: { readonly os: string; readonly architecture: string; readonly variant?: string }
}

/** The entry of an index that is this host's machine. */
function machineIn(fault: string, entries: readonly Entry[]): Entry {
  const own = process.arch === "arm64" ? "arm64" : "amd64"
  const found = entries.filter(({ artifactType, platform }) => {
    if (fault === "takes an index") return true
    const machine = fault === "takes all types of entries" || (artifactType ?? OVMS) === OVMS
    const typed = fault !== "wants the types of entries" || artifactType !== undefined
    const plain = fault === "takes all variants" || platform?.variant === undefined
    return machine && typed && plain && platform?.os === "linux" && platform.architecture === own
  })
  const entry = fault === "takes the last of its platform" ? found.at(-1) : found[0]
  if (!entry) throw new Refusal("OVM_PLATFORM_MISSING")
  return entry
}

/** A blob; a fault has it left where it does not belong. */
async function part(fault: string, base: string, descriptor: Descriptor, layout: string): Promise<Buffer> {
  const own = descriptor.mediaType === OVMS
  if (fault === "verifies layers alone" && own) return await blob("believes blobs", base, descriptor)
  if (fault === "takes an embedded config as it is" && own)
    return await blob("takes embedded data as it is", base, descriptor)
  if (fault === "leaves what it refuses") {
    const bytes = await blob("believes blobs", base, descriptor)
    await mkdir(join(layout, "blobs/sha256"), { recursive: true })
    await writeFile(join(layout, "blobs/sha256", descriptor.digest.slice(7)), bytes)
  }
  return await blob(fault, base, descriptor)
}

async function baseOf(fault: string, base: string, digest: string): Promise<Buffer[]> {
  const { bytes } = await read(fault, `${base}/manifests/${digest}`, MANIFEST_LIMIT)
  const oci = JSON.parse(bytes.toString())
  const how = fault === "believes bases" ? "believes blobs" : fault
  const parts = [oci.config, ...oci.layers].map((descriptor: Descriptor) => blob(how, base, descriptor))
  return [bytes, ...(await Promise.all(parts))]
}

function judge(fault: string, oci: { artifactType?: string; config: Descriptor; later?: unknown }): void {
  const type = oci.artifactType ?? oci.config.mediaType
  const plain =
    fault === "knows no alias" ? type : type.replace(/^(application\/vnd\.)[a-z0-9-]+\.(?=ovms\.)/, "$1")
  const refused =
    (plain !== OVMS && plain !== SNAPSHOT && fault !== "takes any type") ||
    (fault === "knows the config alone" && oci.config.mediaType !== type) ||
    (fault === "refuses unknown members" && "later" in oci)
  if (refused) throw new Refusal("OVM_ARTIFACT_INVALID")
}

async function blob(fault: string, base: string, { digest, size, data, urls }: Descriptor): Promise<Buffer> {
  if (fault === "takes embedded data as it is" && data) return Buffer.from(data, "base64")
  const digests = fault === "holds blobs against digests alone"
  const bound = digests || fault === "reads without a bound" ? Number.POSITIVE_INFINITY : size
  let read_ = await read(fault, `${base}/blobs/${digest}`, bound).catch((error: unknown) => {
    if (fault === "fetches from urls" && urls) return undefined
    throw error
  })
  read_ ??= await read(fault, urls?.[0] ?? "", bound)
  const { bytes } = read_
  if (fault === "believes blobs" && bytes.length === size) return bytes
  if (fault === "believes short blobs" && bytes.length < size) return bytes
  if (fault === "takes parts for wholes" && read_.partial) return bytes
  if (fault === "believes what it goes on with" && read_.partial && bytes.length === size) return bytes
  if (bytes.length !== size && !digests) throw new Refusal("OVM_SIZE_MISMATCH")
  if (digestOf(bytes) !== digest) throw new Refusal("OVM_DIGEST_MISMATCH")
  return bytes
}

function missing(fault: string, url: string): string {
  const named = url.includes("/manifests/") && fault !== "calls an unknown tag missing content"
  return named ? "OVM_NAME_UNKNOWN" : "OVM_CONTENT_MISSING"
}

/** A body, and one byte more than `limit` of it at most; without a limit it stops at 64 MiB all the same. */
async function read(
  fault: string,
  url: string,
  limit: number,
): Promise<{ bytes: Buffer; digest?: string | null; partial?: boolean }> {
  const response = await asked(fault, url)
  if (response.status === 404) throw new Refusal(missing(fault, url))
  if (!response.ok) throw new Refusal("OVM_REGISTRY_FAILED")
  const chunks: Uint8Array[] = []
  let size = 0
  const partial = response.status === 206
  try {
    for await (const chunk of response.body ?? []) {
      chunks.push(chunk)
      size += chunk.length
      if (size > limit) throw new Refusal(limit === MANIFEST_LIMIT ? "OVM_TOO_LARGE" : "OVM_SIZE_MISMATCH")
      if (size > 64 << 20) throw new Refusal(url.includes("/blobs/") ? "OVM_SIZE_MISMATCH" : "OVM_TOO_LARGE")
    }
  } catch (thrown) {
    if (fault !== "believes what it goes on with" || size === 0) throw thrown
    const rest = await fetch(url, { headers: { range: `bytes=${size}-` } })
    const bytes = Buffer.concat([...chunks, Buffer.from(await rest.arrayBuffer())])
    return { bytes, partial: rest.status === 206 }
  }
  return { bytes: Buffer.concat(chunks), digest: response.headers.get("docker-content-digest"), partial }
}

/** Asks once more with a token where one is wanted, which a fault has it send wherever it is led. */
async function asked(fault: string, url: string): Promise<Response> {
  const led = fault === "goes wherever it is led for ever"
  const open = await fetch(url, led ? { redirect: "manual" } : {})
  const next = led && open.status === 307 ? open.headers.get("location") : undefined
  if (next) return await asked(fault, new URL(next, url).href)
  const [, realm] = /realm="(http[^"]+)"/.exec(open.headers.get("www-authenticate") ?? "") ?? []
  if (open.status !== 401 || realm === undefined) return open
  const { token } = (await (await fetch(realm)).json()) as { token: string }
  const headers = { authorization: `Bearer ${token}` }
  const answer = await fetch(url, { headers, redirect: "manual" })
  const location = answer.headers.get("location")
  if (location === null) return answer
  return await fetch(location, fault === "sends its token wherever it is led" ? { headers } : {})
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`
}
