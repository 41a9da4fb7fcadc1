import type { Claim } from "./claim.ts"
import type { Signatory } from "./interfaces.ts"
import { type Judgement, refused } from "./judgement.ts"
import type { Judge } from "./judges.ts"
import type { PublicKey } from "./keys/public.ts"

/**
 * What the first judge that believes the claim says; if none does, the most telling refusal (OVMS-SIG-023 to
 * OVMS-SIG-028).
 */
export async function judgeBy(claim: Claim, judges: readonly Judge[]): Promise<Judgement> {
  if (judges.length === 0) return alone(claim)
  let refusal: Judgement | undefined
  for (const judge of judges) {
    const judgement = "key" in judge ? await byKey(claim, judge) : await byCertificate(claim, judge)
    if (judgement.status === "valid") return judgement
    if (!refusal || (refusal.status === "unknown" && judgement.status === "invalid")) refusal = judgement
  }
  return refusal ?? alone(claim)
}

async function byKey(
  claim: Claim,
  { authority, key }: Extract<Judge, { key: PublicKey }>,
): Promise<Judgement> {
  if (!key.verifies(claim.message, claim.signature)) {
    // A key that signed elsewhere is one that nobody named; only the right one's signature can be wrong.
    if (claim.hint === key.hint)
      return refused(
        "invalid",
        "OVM_SIGNATURE_INVALID",
        `it is not a signature by ${authority.name} of what is beside it`,
      )
    const or = claim.evidence.form === "legacy" && !claim.certificate ? ", or what it signed was changed" : ""
    return refused("unknown", "OVM_SIGNATURE_KEY_UNKNOWN", `it is not by ${authority.name}${or}`)
  }
  const signatory: Signatory = { kind: "key", keyId: key.id }
  if (!authority.log && !authority.timestamp && authority.trustedRoot === undefined)
    return { status: "valid", signatory }
  const { verifyLogged } = await import("./certificates.ts")
  return verifyLogged(claim, key, authority)
}

async function byCertificate(claim: Claim, judge: Exclude<Judge, { key: PublicKey }>): Promise<Judgement> {
  if (!claim.certificate)
    return refused(
      "unknown",
      "OVM_SIGNATURE_KEY_UNKNOWN",
      `it is by a key, not by a certificate that ${judge.authority.name} could vouch for`,
    )
  const { verifyCertified } = await import("./certificates.ts")
  return verifyCertified(claim, claim.certificate, judge)
}

/** Held against itself: the certificate that it carries has to be the one that signed. */
async function alone(claim: Claim): Promise<Judgement> {
  if (claim.certificate) {
    const { certificateKey } = await import("./certificate-key.ts")
    if (!certificateKey(claim.certificate).verifies(claim.message, claim.signature))
      return refused("invalid", "OVM_SIGNATURE_INVALID", "it is not a signature by the certificate beside it")
  }
  return refused("unknown", "OVM_SIGNATURE_KEY_UNKNOWN", "nobody was named whose signature it could be")
}
