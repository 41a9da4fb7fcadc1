import type { Verdict } from "./interfaces.ts"

/**
 * True if a signature for `signed`, a repository and perhaps a tag, is one for the image that is called `expected`
 * (OVMS-SIG-029). A signature that names no tag is for all of them; one that names a tag or digest is for that, and
 * where `expected` has a digest, tags are remarks (OVMS-REF-006).
 */
export function isSignedFor(signed: string, expected: string): boolean {
  const [theirs, ours] = [namedFor(signed), namedFor(expected)]
  if (theirs.repository !== ours.repository) return false
  if (theirs.digest !== undefined && ours.digest !== undefined && theirs.digest !== ours.digest) return false
  return theirs.tag === undefined || ours.digest !== undefined || theirs.tag === ours.tag
}

/** What a signature may name. */
export interface NamedFor {
  /** With its host, in small letters. */
  readonly repository: string
  readonly tag: string | undefined
  readonly digest: string | undefined
}

/** The parts of what a signature, a policy or a user names: as references, but what is none has parts too. */
export function namedFor(text: string): NamedFor {
  const [name = "", digest] = text.split("@")
  // A port has no slash after its colon, and a repository comes after a slash.
  const [, repository = name, tag] = /^(.*):([^/:]+)$/s.exec(name) ?? []
  const [, host = "", path = repository] = /^([^/]*)(\/.*)$/s.exec(repository) ?? []
  // Go tools write Docker's registry under an older name.
  return { repository: `${host.toLowerCase().replace(/^index\.(?=docker\.io$)/, "")}${path}`, tag, digest }
}

/**
 * `verdict`; made invalid (OVM_SIGNATURE_REFERENCE_MISMATCH) where its signature says which reference it is for and
 * that is not `expected`. Without `expected` nothing is compared.
 */
export function heldAgainst<T extends Omit<Verdict, "predicate">>(
  verdict: T,
  expected: string | undefined,
): T {
  const { signedReference, status } = verdict
  if (status !== "valid" || signedReference === undefined || expected === undefined) return verdict
  if (isSignedFor(signedReference, expected)) return verdict
  return {
    ...verdict,
    status: "invalid",
    code: "OVM_SIGNATURE_REFERENCE_MISMATCH",
    reason: `it was made for ${signedReference}, not for ${expected}`,
  }
}
