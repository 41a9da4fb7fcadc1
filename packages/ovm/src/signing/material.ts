import { bundleFromJSON, type TransparencyLogEntry } from "@sigstore/bundle"
import { RFC3161Timestamp } from "@sigstore/core"
import type { SignedEntity } from "@sigstore/verify"
import { isObject } from "../objects.ts"
import type { Claim } from "./claim.ts"
import { guard } from "./guard.ts"
import { bytesIn, malformedSignature, parseObject, textIn } from "./json.ts"
import { LOG_ANNOTATION, TIMESTAMP_ANNOTATION } from "./legacy/tags.ts"
import { SIGNATURE_LIMIT } from "./limits.ts"

type Time = SignedEntity["timestamps"][number]

/** What logs and timestamp authorities say of a claim; nothing of it is verified. */
export interface Material {
  readonly tlogEntries: readonly TransparencyLogEntry[]
  readonly times: readonly { readonly at: Date; readonly timestamp: Time }[]
}

/** More than anybody has a signature entered into. */
const COUNT_LIMIT = 16

/** Reads it out of either form. Throws OVM_SIGNATURE_MALFORMED, OVM_LOG_ENTRY_INVALID, OVM_TIMESTAMP_INVALID. */
export function materialOf({ material }: Claim): Material {
  const { entries, stamps } =
    "bundle" in material ? inBundle(material.bundle) : inAnnotations(material.annotations)
  if (entries.length > COUNT_LIMIT || stamps.length > COUNT_LIMIT)
    throw malformedSignature(`it has more than ${COUNT_LIMIT} log entries or timestamps`)
  return { tlogEntries: entries, times: [...entries.flatMap(loggedAt), ...stamps.map(stampedAt)] }
}

interface Raw {
  readonly entries: readonly TransparencyLogEntry[]
  readonly stamps: readonly Buffer[]
}

function inBundle(document: Record<string, unknown>): Raw {
  const { tlogEntries, timestampVerificationData } = guard(
    "OVM_SIGNATURE_MALFORMED",
    "the bundle breaks its schema",
    () => bundleFromJSON(document).verificationMaterial,
  )
  const stamps = timestampVerificationData?.rfc3161Timestamps ?? []
  return { entries: tlogEntries, stamps: stamps.map(({ signedTimestamp }) => Buffer.from(signedTimestamp)) }
}

/** Cosign's older form: SIGNATURE_SPEC.md, "bundle" and "rfc3161timestamp". */
function inAnnotations(annotations: Readonly<Record<string, string>>): Raw {
  const entry = annotations[LOG_ANNOTATION]
  const stamp = annotations[TIMESTAMP_ANNOTATION]
  return {
    entries: entry
      ? [guard("OVM_LOG_ENTRY_INVALID", "the log entry cannot be read", () => logEntry(entry))]
      : [],
    stamps: stamp
      ? [
          guard("OVM_TIMESTAMP_INVALID", "the timestamp cannot be read", () =>
            bytesIn(read(stamp, "the timestamp"), "SignedRFC3161Timestamp", "the timestamp"),
          ),
        ]
      : [],
  }
}

function logEntry(json: string): TransparencyLogEntry {
  const what = "the log entry"
  const entry = read(json, what)
  const payload = entry.Payload
  if (!isObject(payload)) throw malformedSignature(`${what} has no Payload`)
  const canonicalizedBody = bytesIn(payload, "body", what)
  const body = read(canonicalizedBody.toString(), `the body of ${what}`)
  return {
    logIndex: String(payload.logIndex),
    logId: { keyId: Buffer.from(textIn(payload, "logID", what), "hex") },
    kindVersion: { kind: textIn(body, "kind", what), version: textIn(body, "apiVersion", what) },
    integratedTime: String(payload.integratedTime),
    inclusionPromise: { signedEntryTimestamp: bytesIn(entry, "SignedEntryTimestamp", what) },
    inclusionProof: undefined,
    canonicalizedBody,
  }
}

function read(json: string, what: string): Record<string, unknown> {
  return parseObject(Buffer.from(json), what, SIGNATURE_LIMIT)
}

/** Only a promise is signed over the time; an entry without one says nothing about it. */
function loggedAt(entry: TransparencyLogEntry): Material["times"] {
  const seconds = Number(entry.integratedTime)
  if (!entry.inclusionPromise || !Number.isSafeInteger(seconds) || seconds <= 0 || seconds > 8.64e12)
    return []
  return [{ at: new Date(seconds * 1000), timestamp: { $case: "transparency-log", tlogEntry: entry } }]
}

function stampedAt(der: Buffer): Material["times"][number] {
  return guard("OVM_TIMESTAMP_INVALID", "the timestamp cannot be read", () => {
    const timestamp = RFC3161Timestamp.parse(Buffer.from(der))
    return { at: timestamp.signingTime, timestamp: { $case: "timestamp-authority", timestamp } }
  })
}
