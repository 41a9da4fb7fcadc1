import type { Verdict } from "./interfaces.ts"

/**
 * True if a signature for `signed`, a repository and perhaps a tag, is one for the image that is called `expected`
 * (OVMS-SIG-029). A signature that names no tag is for all of them; one that names a tag or digest is for that, and
 * where `expected` has a digest, tags are remarks (OVMS-REF-006).
 */
export function isSignedFor(signed: string, expected: string): boolean {
  const [theirs, ours] = [parts(signed), parts(expected)]
  if (theirs.repository !== ours.repository) return false
  if (theirs.digest !== undefined && ours.digest !== undefined && theirs.digest !== ours.digest) return false
  return theirs.tag === undefined || ours.digest !== undefined || theirs.tag === ours.tag
}

function parts(text: string): { repository: string; tag: string | undefined; digest: string | undefined } {
  const [name = "", digest] = text.split("@")
  const [, repository = name, tag] = /^(.*):([^/:]+)$/s.exec(name) ?? []
  // Go tools write Docker's registry under an older name.
  return { repository: repository.replace(/^(?:index\.)?docker\.io\//, "docker.io/"), tag, digest }
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
