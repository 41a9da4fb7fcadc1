import type { SignedIdentity } from "./document.ts"
import type { Name } from "./scope.ts"

const DEFAULT: SignedIdentity = { type: "matchRepository", unavailable: "allow" }

/**
 * Why a signature made for `signed` does not count for `name` (OVMS-POL-040 to OVMS-POL-046); undefined if it does.
 * `whole` is false for what the name does not stand for itself, whose tag nobody named.
 */
export function identityRefusal(
  signed: string | undefined,
  name: Name | undefined,
  wanted: SignedIdentity | undefined,
  whole: boolean,
): string | undefined {
  if (!wanted && name?.host === undefined) return undefined
  const { type, unavailable = "reject", ...exact } = wanted ?? DEFAULT
  if (type === "exactRepository") return differs(split(signed).repository, exact.repository, unavailable)
  if (type === "exactReference") return differs(tagged(signed), exact.reference, unavailable)
  if (!name) return `${type}: a path has no repository to compare with`
  const repository = name.host === undefined ? name.repository : `${name.host}/${name.repository}`
  const withTag = type === "matchReference" && whole && name.digest === undefined
  if (!withTag) return differs(split(signed).repository, repository, unavailable)
  const other = differs(split(signed).repository, repository, unavailable)
  return other ?? differs(tagged(signed), `${repository}:${name.tag}`, unavailable)
}

function differs(
  signed: string | undefined,
  wanted: string | undefined,
  unavailable: "allow" | "reject",
): string | undefined {
  if (signed !== undefined)
    return signed === wanted ? undefined : `it was made for ${signed}, not for ${wanted}`
  return unavailable === "allow" ? undefined : `it does not say that it was made for ${wanted}`
}

/** Without its tag. A port has no slash after its colon, and a repository comes after a slash. */
function split(reference: string | undefined): { repository?: string; tag?: string } {
  if (reference === undefined) return {}
  const plain = reference.split("@")[0] ?? ""
  const colon = plain.indexOf(":", plain.lastIndexOf("/") + 1)
  const hasTag = colon >= 0 && (plain.includes("/") || !/^\d+$/.test(plain.slice(colon + 1)))
  return hasTag ? { repository: plain.slice(0, colon), tag: plain.slice(colon + 1) } : { repository: plain }
}

/** With its tag; undefined if it has none. */
function tagged(reference: string | undefined): string | undefined {
  const { repository, tag } = split(reference)
  return tag === undefined ? undefined : `${repository}:${tag}`
}
