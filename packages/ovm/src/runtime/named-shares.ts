import { OvmError } from "../errors.ts"
import type { PreparedImage } from "../images/prepared.ts"
import type { SharePlan } from "../vmm/plan.ts"
import type { Overrides } from "./interfaces.ts"

type Wanted = NonNullable<Overrides["shares"]>[number]

/**
 * Where each of these folders is mounted: one with a name where the image's manifest has its share. Throws
 * OVM_REQUEST_INVALID for a name that the image has not, and for a share that it requires and is given nothing for.
 */
export function placeShares(
  shares: readonly Wanted[],
  { manifest, reference }: PreparedImage,
): readonly Omit<SharePlan, "tag">[] {
  const wanted = manifest.shares ?? []
  const placed = shares.map(({ source, target, name, readOnly = false }) => {
    // The request's schema has one of the two.
    if (name === undefined) return { source, target: target ?? "", readOnly }
    const found = wanted.find((share) => share.name === name)
    if (found) return { name, source, target: found.target, readOnly: readOnly || found.readOnly === true }
    const known = wanted.map((share) => share.name).join(", ")
    throw new OvmError(
      "OVM_REQUEST_INVALID",
      `overrides.shares: ${reference} has no share ${name}${known && `, only ${known}`} [OVMS-SHR-031]`,
    )
  })
  const given = new Set(shares.map(({ name }) => name))
  const missing = wanted.find(({ name, required = true }) => required && !given.has(name))
  if (missing)
    throw new OvmError(
      "OVM_REQUEST_INVALID",
      `overrides.shares: ${reference} requires a folder for its share ${missing.name} at ${missing.target}, such as -v ${missing.name}=./FOLDER [OVMS-SHR-032]`,
    )
  return placed
}
