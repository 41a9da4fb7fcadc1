import type { Descriptor } from "../content/descriptor.ts"
import type { Call } from "../content/interfaces.ts"
import { OCI_INDEX, OCI_MANIFEST } from "../content/manifest.ts"
import { guarded } from "../files/guarded.ts"
import { isObject } from "../objects.ts"
import { ProbeClient, type ProbeFinding } from "./probe-client.ts"
import type { Transport } from "./transport/transport.ts"

export interface Probe {
  readonly host: string
  readonly repository: string
  readonly findings: readonly ProbeFinding[]
  /** What was pushed and could not be deleted again, for an administrator. */
  readonly left: readonly string[]
}

const TYPE = "application/vnd.ovms.probe.v1+json"
const OTHER_TYPE = "application/vnd.ovms.probe.other.v1+json"

/**
 * Finds out what a registry can do by doing it in `repository`, with artifacts of a few bytes that nobody else has, and
 * removes them again as far as it can (docs/registries.md). Throws OVM_REGISTRY_DENIED and the like if it may not even
 * push.
 */
export function probe(transport: Transport, repository: string, call: Call = {}): Promise<Probe> {
  return guarded(async () => {
    const client = new ProbeClient(transport, repository, call)
    const findings: ProbeFinding[] = []
    let deletion: ProbeFinding
    try {
      const blob = await client.upload(Buffer.from(`probe ${crypto.randomUUID()}\n`))
      findings.push(await chunked(client), await ranged(client, blob), await mounted(client, blob))
      findings.push(...(await manifests(client)), await largeManifest(client))
    } finally {
      deletion = await client.remove()
    }
    return { host: transport.host, repository, findings: [...findings, deletion], left: client.left }
  })
}

async function chunked(client: ProbeClient): Promise<ProbeFinding> {
  const { status, least } = await client.uploadInChunks(Buffer.from(`probe ${crypto.randomUUID()}\n`))
  const works = status === 201
  const minimum = least === undefined ? "" : `, chunks from ${least} bytes up`
  return {
    feature: "chunked upload",
    works,
    answer: `${works ? "yes" : `no (${status})`}${minimum}`,
    consequence: works
      ? "broken uploads go on where they ended"
      : "blobs go in one request; broken uploads begin anew",
  }
}

async function ranged(client: ProbeClient, blob: Descriptor): Promise<ProbeFinding> {
  const { status, bytes } = await client.get(`blobs/${blob.digest}`, { Range: "bytes=2-5" })
  const works = status === 206 && bytes.toString() === "obe "
  return {
    feature: "ranges of blobs",
    works,
    answer: works ? "yes" : `no (${status})`,
    consequence: works
      ? "large blobs in parallel, and resumed"
      : "one stream a blob; what was broken off begins anew",
  }
}

async function mounted(client: ProbeClient, blob: Descriptor): Promise<ProbeFinding> {
  const status = await client.mount(blob)
  const works = status === 201
  return {
    feature: "mount of blobs",
    works,
    answer: works ? "yes" : `no (${status})`,
    consequence: works
      ? "copies within the registry move no bytes"
      : "blobs are sent again to other repositories",
  }
}

async function manifests(client: ProbeClient): Promise<ProbeFinding[]> {
  const config = await client.upload(Buffer.from(JSON.stringify({ probe: crypto.randomUUID() })), TYPE)
  const image = await client.put(manifest(config, { artifactType: TYPE }), OCI_MANIFEST, { tagged: true })
  const kept =
    image.status < 300 &&
    (await client.get(`manifests/${image.target.digest}`, { Accept: OCI_MANIFEST })).bytes.equals(image.bytes)
  const index = await client.put(
    JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, artifactType: TYPE, manifests: [image.target] }),
    OCI_INDEX,
  )
  const subject = image.target
  const referrer = await client.put(
    manifest(config, { artifactType: OTHER_TYPE, subject, annotations: { probe: "1" } }),
    OCI_MANIFEST,
  )
  return [
    {
      feature: "types of artifacts",
      works: kept,
      answer: kept ? "kept, byte for byte" : `no (${image.status})`,
      consequence: kept ? "" : "machines cannot be pushed to it",
    },
    {
      feature: "indexes with a type",
      works: index.status < 300,
      answer: index.status < 300 ? "yes" : `no (${index.status})`,
      consequence: index.status < 300 ? "" : "one manifest a machine",
    },
    ...(await referrers(client, subject, referrer)),
  ]
}

function manifest(config: Descriptor, more: object): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [config], ...more })
}

async function referrers(
  client: ProbeClient,
  subject: Descriptor,
  pushed: { readonly target: Descriptor; readonly status: number; readonly headers: Headers },
): Promise<ProbeFinding[]> {
  const said = pushed.headers.has("oci-subject")
  const listed = await client.get(`referrers/${subject.digest}`, { Accept: OCI_INDEX })
  const entry = listed.status === 200 ? entryOf(listed.bytes, pushed.target) : undefined
  const filtered =
    entry && (await client.get(`referrers/${subject.digest}?artifactType=${encodeURIComponent(TYPE)}`))
  const filters = filtered?.headers.get("oci-filters-applied")?.includes("artifactType") ?? false
  const whole = entry?.artifactType === OTHER_TYPE && isObject(entry.annotations)
  return [
    {
      feature: "subject",
      works: pushed.status < 300,
      answer:
        pushed.status >= 300
          ? `no (${pushed.status})`
          : said
            ? "yes, OCI-Subject"
            : "taken, without OCI-Subject",
      consequence:
        pushed.status >= 300
          ? "no signatures or snapshots"
          : said && entry
            ? ""
            : "keeps the list of referrers itself",
    },
    {
      feature: "referrers API",
      works: entry !== undefined,
      answer: entry ? (whole ? "yes" : "yes, without types or annotations") : `no (${listed.status})`,
      consequence: entry
        ? whole
          ? ""
          : "reads the referrers themselves"
        : "reads and writes the fallback tag",
    },
    {
      feature: "referrers filter",
      works: filters,
      answer: filters ? "yes" : "no",
      consequence: filters ? "" : "filters by itself",
    },
  ]
}

function entryOf(bytes: Buffer, target: Descriptor): Record<string, unknown> | undefined {
  try {
    const index: unknown = JSON.parse(bytes.toString())
    const entries: readonly unknown[] =
      isObject(index) && Array.isArray(index.manifests) ? index.manifests : []
    return entries.filter(isObject).find(({ digest }) => digest === target.digest)
  } catch {
    return undefined
  }
}

const MIB = 1024 * 1024

/** The specification asks for 4 MiB; what is less than 1 MiB nobody has reported. */
async function largeManifest(client: ProbeClient): Promise<ProbeFinding> {
  for (const size of [4 * MIB, MIB]) {
    const empty = JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      manifests: [],
      annotations: { probe: "" },
    })
    const padding = crypto.randomUUID().padEnd(size - empty.length, "x")
    const { status } = await client.put(empty.replace('"probe":""', `"probe":"${padding}"`), OCI_INDEX)
    if (status < 300) {
      const works = size === 4 * MIB
      const consequence = works ? "" : "machines of thousands of layers cannot be pushed"
      return { feature: "manifest size", works, answer: `${size / MIB} MiB`, consequence }
    }
  }
  return {
    feature: "manifest size",
    works: false,
    answer: "less than 1 MiB",
    consequence: "large indexes cannot be pushed",
  }
}
