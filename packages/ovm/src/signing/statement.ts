import { type Digest, hexOf } from "../content/digest.ts"
import { OvmError } from "../errors.ts"
import { isObject } from "../objects.ts"
import { SIGNATURE_PREDICATE } from "./interfaces.ts"
import { malformedSignature, parseObject, textIn } from "./json.ts"

const STATEMENT = "https://in-toto.io/Statement/v1"
/** Cosign writes attestations of the older version. */
const STATEMENT_TYPES: readonly string[] = [STATEMENT, "https://in-toto.io/Statement/v0.1"]
/**
 * The annotation of a statement's subject that says for which repository, perhaps with a tag, it was made
 * (OVMS-SIG-022).
 */
export const REFERENCE_ANNOTATION = "ovms.reference"
/** Of a statement, in bytes. */
const LIMIT = 32 << 20

export interface Statement {
  readonly predicateType: string
  readonly predicate: unknown
  /** The annotations of the subject that was asked for. */
  readonly annotations: Readonly<Record<string, unknown>>
}

export interface StatementParts {
  readonly subject: Digest
  readonly predicateType: string
  readonly predicate: unknown
  readonly annotations?: Readonly<Record<string, string>>
  /** What the subject is called, as Cosign does for attestations. */
  readonly name?: string
}

/** The bytes of an in-toto statement about `subject`, with the members that Cosign writes. */
export function writeStatement(parts: StatementParts): Buffer {
  const { subject, predicateType, predicate, annotations = {}, name } = parts
  return Buffer.from(
    JSON.stringify({
      _type: STATEMENT,
      subject: [{ ...(name !== undefined && { name }), digest: { sha256: hexOf(subject) }, annotations }],
      predicateType,
      predicate,
    }),
  )
}

/**
 * Reads a statement and finds `subject` among those that it is about, by its sha256 digest and nothing else. Throws
 * OVM_SIGNATURE_MALFORMED, and OVM_SIGNATURE_SUBJECT_MISMATCH for one about something else; both name `what`.
 */
export function parseStatement(payload: Uint8Array, subject: Digest, what: string): Statement {
  const document = parseObject(payload, what, LIMIT)
  const type = textIn(document, "_type", what)
  if (!STATEMENT_TYPES.includes(type))
    throw malformedSignature(
      `${what} is not an in-toto statement: its _type is ${JSON.stringify(type.slice(0, 100))}`,
    )
  const subjects = document.subject
  if (!Array.isArray(subjects) || subjects.length === 0 || !subjects.every(isObject))
    throw malformedSignature(`${what} is a statement without a subject`)
  const ours = subjects.find(({ digest }) => isObject(digest) && digest.sha256 === hexOf(subject))
  if (!ours) throw otherSubject(subjects, subject, what)
  return {
    predicateType: textIn(document, "predicateType", what),
    predicate: document.predicate,
    annotations: isObject(ours.annotations) ? ours.annotations : {},
  }
}

function otherSubject(subjects: readonly Record<string, unknown>[], subject: Digest, what: string): OvmError {
  const named = subjects.flatMap(({ digest }) => (isObject(digest) ? Object.entries(digest) : []))
  const [first] = named.find(([algorithm]) => algorithm === "sha256") ?? named[0] ?? []
  const theirs = named.find(([algorithm]) => algorithm === first)
  const whose = theirs ? `${theirs[0]}:${String(theirs[1])}`.slice(0, 140) : "no digest"
  return new OvmError("OVM_SIGNATURE_SUBJECT_MISMATCH", `${what} is about ${whose}, not about ${subject}`)
}

/** The kind by the predicate type. */
export function kindOf(predicateType: string): "signature" | "attestation" {
  return predicateType === SIGNATURE_PREDICATE ? "signature" : "attestation"
}

/** Throws OVM_PREDICATE_MISMATCH for the type that is reserved for signatures: nothing else may look like one. */
export function refuseSignatureType(predicateType: string): void {
  if (predicateType === SIGNATURE_PREDICATE)
    throw new OvmError("OVM_PREDICATE_MISMATCH", `${predicateType} is a signature, not an attestation`, {
      hint: "ovm sign NAME",
    })
}
