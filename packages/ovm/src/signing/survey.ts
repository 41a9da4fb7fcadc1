import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { type Candidate, candidates, PREDICATE_HINT } from "./evidence.ts"
import { type Authority, type EvidenceSource, SIGNATURE_PREDICATE, type Verdict } from "./interfaces.ts"
import { type Judge, prepare } from "./judges.ts"
import { judgeCandidate } from "./verdict.ts"

/** A verdict for showing: of any predicate type, and without what the predicate says. */
export interface SurveyFinding extends Omit<Verdict, "predicate"> {
  /** The key that it names as its own, as `sha256:…` of the SPKI: a hint that nobody verified. */
  readonly namedKey?: string
}

/**
 * Judges single pieces of evidence of `subject`, of whatever type: for those who show everything, where `verdicts` is
 * for those who decide. Throws OVM_KEY_INVALID or OVM_USAGE for an authority that cannot be understood.
 */
export class Survey {
  readonly #judges: readonly Judge[]

  constructor(
    private readonly source: EvidenceSource,
    authorities: readonly Authority[],
  ) {
    this.#judges = authorities.map(prepare)
  }

  /** The bundle in a referrer; undefined if there is none in it, or it is gone. Throws what the source throws. */
  bundle(subject: Digest, manifest: Descriptor, call: Call = {}): Promise<SurveyFinding | undefined> {
    const hint = manifest.annotations?.[PREDICATE_HINT] ?? SIGNATURE_PREDICATE
    return this.#judge(subject, { form: "bundle", manifest }, hint, call)
  }

  /** What is under the two tags of the older form. Throws what the source throws. */
  async *legacy(subject: Digest, call: Call = {}): AsyncIterable<SurveyFinding> {
    const { source } = this
    const tagsOnly: EvidenceSource = {
      fetch: source.fetch.bind(source),
      tagged: source.tagged.bind(source),
      async *referrers() {},
    }
    for (const kind of ["signature", "attestation"] as const)
      for await (const candidate of candidates(tagsOnly, subject, kind, call)) {
        const found = await this.#judge(
          subject,
          candidate,
          kind === "signature" ? SIGNATURE_PREDICATE : "",
          call,
        )
        if (found) yield found
      }
  }

  async #judge(
    subject: Digest,
    candidate: Candidate,
    hint: string,
    call: Call,
  ): Promise<SurveyFinding | undefined> {
    const { source } = this
    const asked = { source, subject, type: hint, ofThatTypeOnly: false, judges: this.#judges, call }
    const judged = await judgeCandidate(candidate, asked)
    if (!judged) return undefined
    const { predicate: _, ...verdict } = judged.verdict
    const named = judged.claim?.hint
    return { ...verdict, ...(named !== undefined && { namedKey: keyIdOf(named) }) }
  }
}

/** Bundles have the digest in base64, and everything else that is printed in hexadecimal. */
function keyIdOf(hint: string): string {
  const bytes = Buffer.from(hint, "base64")
  return bytes.byteLength === 32 ? `sha256:${bytes.toString("hex")}` : hint.slice(0, 100)
}
