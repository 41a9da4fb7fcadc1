import { timeNow } from "../artifact/epoch.ts"
import type { Digest } from "../content/digest.ts"
import { bytesOf } from "../content/read.ts"
import { OvmError } from "../errors.ts"
import type { Reference } from "../registry/reference.ts"
import type { Sealer } from "../signing/bundle/write.ts"
import type { Signer } from "../signing/interfaces.ts"
import { type PackRun, PROVENANCE_PREDICATE, provenanceOf } from "../supply/provenance.ts"
import { VERSION } from "../version.ts"
import { attested } from "./attested.ts"
import { interruptible } from "./interrupt.ts"
import { writeOutput } from "./output-file.ts"
import { openSigner, type SignerOptions } from "./signer.ts"

/** Where provenance goes unless told. */
const PROVENANCE_FILE = "provenance.json"

export interface ProvenanceOptions extends SignerOptions {
  /** A path, or true where none is given. */
  readonly provenance?: string | true
}

/** What the packing itself knows of its run. */
export type Run = Omit<PackRun, "finished" | "sourceDateEpoch" | "version">

/** What is to become of provenance. */
export interface Wanted {
  readonly file?: string
  readonly by?: Signer | Sealer
}

/**
 * What the options ask for, with the key open: before the work begins, not after it. Throws OVM_USAGE, and as
 * openSigner.
 */
export async function wantedProvenance(options: ProvenanceOptions): Promise<Wanted> {
  const { provenance } = options
  const signs = options.key !== undefined || options.fulcioUrl !== undefined
  if (provenance === undefined) {
    if (signs) throw new OvmError("OVM_USAGE", "there is nothing to sign without --provenance")
    return {}
  }
  const file = provenance === true ? (signs ? undefined : PROVENANCE_FILE) : provenance
  return { ...(file !== undefined && { file }), ...(signs && { by: await openSigner(options) }) }
}

/** Writes it down, and attaches it to what was packed, on this host: it goes to a registry with the image. */
export async function keepProvenance(wanted: Wanted, run: Run, image: Proven): Promise<KeptProvenance> {
  return await keepPredicate(wanted, (now) => provenanceOf({ ...run, ...now }), image)
}

interface Proven {
  readonly reference: Reference
  readonly digest: Digest
}

interface KeptProvenance {
  readonly provenance?: string
  readonly attestation?: Digest
}

/** The same of whatever `predicateOf` makes. */
export async function keepPredicate(
  { file, by }: Wanted,
  predicateOf: (now: Pick<PackRun, "finished" | "version" | "sourceDateEpoch">) => object,
  image: Proven,
): Promise<KeptProvenance> {
  const { SOURCE_DATE_EPOCH } = process.env
  const predicate = predicateOf({
    finished: timeNow(SOURCE_DATE_EPOCH),
    version: VERSION,
    ...(SOURCE_DATE_EPOCH && { sourceDateEpoch: SOURCE_DATE_EPOCH }),
  })
  if (file !== undefined)
    await writeOutput(file, bytesOf(Buffer.from(`${JSON.stringify(predicate, undefined, 2)}\n`)))
  const about = { predicateType: PROVENANCE_PREDICATE, predicate, expected: image.digest }
  const attestation =
    by && (await interruptible((signal) => attested(`store:${image.reference}`, by, { ...about, signal })))
  return {
    ...(file !== undefined && { provenance: file }),
    ...(attestation && { attestation: attestation.manifest.digest }),
  }
}
