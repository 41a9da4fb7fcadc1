import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { isManifest, parseLinks } from "../content/manifest.ts"
import { bytesOf, fetchAll, MANIFEST_LIMIT } from "../content/read.ts"
import { parseReferrer } from "../content/referrers.ts"
import { OvmError, ofRegistry } from "../errors.ts"
import { BUNDLE } from "../signing/bundle/parse.ts"
import { listedBundles } from "../signing/evidence.ts"
import type { Evidence, EvidenceSource } from "../signing/interfaces.ts"
import { legacyTag } from "../signing/legacy/tags.ts"
import { ATTESTATION_LIMIT } from "../signing/limits.ts"

const KINDS = ["signature", "attestation"] as const

/** Of one subject: more than anybody signs. What the policy relied on is taken in any case. */
const MOST_PIECES = 256
/** Useless ones among them are asked for as well, and cost a request each. */
const MOST_TRIES = 512
const MOST_BYTES = 128 << 20
/** Bytes of one piece. */
const PIECE_LIMIT = 2 * ATTESTATION_LIMIT

/** The names under which the legacy forms of evidence for `subject` are kept beside the names of `repository`. */
export function legacyNames(repository: string, subject: Digest): string[] {
  return KINDS.map((kind) => `${repository}:${legacyTag(subject, kind)}`)
}

/**
 * Has the legacy forms of evidence for `subjects` stand beside the names of `repository` too, where they stand beside
 * others of this host: `first` is asked before the rest. What is there already stays.
 */
export async function nameEvidence(
  store: LayoutStore,
  subjects: readonly Digest[],
  repository: string,
  first?: string,
): Promise<void> {
  const names = new Map<string, Descriptor>()
  for await (const { reference, target } of store.list()) names.set(reference, target)
  for (const subject of subjects)
    for (const name of legacyNames(repository, subject)) {
      const tag = name.slice(repository.length)
      const other = [`${first}${tag}`, ...names.keys()].find((one) => names.has(one) && one.endsWith(tag))
      const target = other !== undefined && names.get(other)
      if (target && !names.has(name)) await store.tag(target, name)
    }
}

/** The evidence that either of two places has. */
export function evidenceOfBoth(first: EvidenceSource, second: EvidenceSource): EvidenceSource {
  return {
    fetch: (target, call) =>
      first.fetch(target, call).catch((error: unknown) => {
        if (error instanceof OvmError && error.code === "OVM_CONTENT_MISSING")
          return second.fetch(target, call)
        throw error
      }),
    async *referrers(subject, filter) {
      yield* first.referrers(subject, filter)
      yield* second.referrers(subject, filter)
    },
    tagged: async (tag, call) => (await first.tagged(tag, call)) ?? second.tagged(tag, call),
  }
}

/**
 * Has `source`, which remembers its answers, asked for what a policy and `copyEvidence` are going to want of `subject`,
 * while something else is waited for.
 */
export function askAhead(source: EvidenceSource, subject: Digest, call: Call): void {
  const asked = [
    listedBundles(source, subject, call)[Symbol.asyncIterator]().next(),
    ...KINDS.map((kind) => source.tagged(legacyTag(subject, kind), call)),
  ]
  // Whoever wants the answer hears of its failure.
  for (const answer of asked) answer.catch(() => {})
}

/** What a policy let an artifact pass by. */
export type Relied = readonly { readonly subject: Digest; readonly evidence: Evidence }[]

/**
 * Copies the evidence of `subject` from its registry, so that this host can decide by itself later (OVMS-POL-083): all
 * that was relied on, or it throws; of the rest as much as is reasonable, and what cannot be had is passed over.
 */
export async function copyEvidence(
  source: EvidenceSource,
  { store, repository }: { readonly store: LayoutStore; readonly repository: string },
  { subject, relied }: { readonly subject: Descriptor; readonly relied: Relied },
  call: Call = {},
): Promise<void> {
  const copier = new Copier(source, store, subject.digest, call)
  for (const { evidence } of relied.filter((one) => one.subject === subject.digest))
    await copier.take(evidence.manifest)
  try {
    for await (const manifest of listedBundles(source, subject.digest, call)) {
      if (copier.full) break
      await copier.tryTake(manifest, manifest.artifactType === undefined ? BUNDLE : undefined)
    }
    for (const kind of KINDS) {
      const tag = legacyTag(subject.digest, kind)
      const manifest = await source.tagged(tag, call)
      if (manifest && (await copier.tryTake(manifest)))
        await store.tag(manifest, `${repository}:${tag}`, call)
    }
  } catch (error) {
    if (relied.length > 0 || !ofRegistry(error)) throw error
  }
}

class Copier {
  readonly #taken = new Set<Digest>()
  #bytes = 0
  #tries = 0

  constructor(
    private readonly source: EvidenceSource,
    private readonly store: LayoutStore,
    private readonly subject: Digest,
    private readonly call: Call,
  ) {}

  get full(): boolean {
    return this.#taken.size >= MOST_PIECES || this.#bytes >= MOST_BYTES || this.#tries >= MOST_TRIES
  }

  /** False for what is too large, lies, is gone, or is not of the type that it has to be. */
  async tryTake(manifest: Descriptor, type?: string): Promise<boolean> {
    if (this.#taken.has(manifest.digest)) return true
    if (this.full) return false
    this.#tries++
    try {
      await this.take(manifest, type)
      return this.#taken.has(manifest.digest)
    } catch (error) {
      this.call.signal?.throwIfAborted()
      if (error instanceof OvmError) return false
      throw error
    }
  }

  async take(manifest: Descriptor, type?: string): Promise<void> {
    const { digest, size, mediaType } = manifest
    if (this.#taken.has(digest)) return
    const { source, store, call } = this
    const what = `evidence ${digest}`
    const bytes = await fetchAll(source, manifest, MANIFEST_LIMIT, call)
    const { children } = parseLinks(bytes, what)
    const sum = children.reduce((sum, child) => sum + child.size, size)
    if (sum > PIECE_LIMIT)
      throw new OvmError("OVM_TOO_LARGE", `${what} has ${sum} bytes; the limit is ${PIECE_LIMIT}`)
    const referrer = parseReferrer(bytes)
    const about = referrer?.subject
    if (type !== undefined && referrer?.descriptor.artifactType !== type) return
    if (children.some(isManifest) || (about !== undefined && about !== this.subject))
      throw new OvmError("OVM_SIGNATURE_MALFORMED", `${what} is not about ${this.subject}`)
    for (const child of children) await store.push(child, await source.fetch(child, call), call)
    await store.push({ mediaType, digest, size }, bytesOf(bytes), call)
    this.#taken.add(digest)
    this.#bytes += sum
  }
}
