import { namedFor } from "../reference.ts"
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
  if (type === "exactRepository")
    return differs(repositoryOf(signed), repositoryOf(exact.repository), unavailable)
  if (type === "exactReference") return differs(tagged(signed), tagged(exact.reference), unavailable)
  if (!name) return `${type}: a path has no repository to compare with`
  const repository = repositoryOf(
    name.host === undefined ? name.repository : `${name.host}/${name.repository}`,
  )
  const withTag = type === "matchReference" && whole && name.digest === undefined
  if (!withTag) return differs(repositoryOf(signed), repository, unavailable)
  const other = differs(repositoryOf(signed), repository, unavailable)
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

/** Without its tag. */
function repositoryOf(reference: string | undefined): string | undefined {
  return reference === undefined ? undefined : namedFor(reference).repository
}

/** With its tag; undefined if it has none. */
function tagged(reference: string | undefined): string | undefined {
  const { repository, tag } = namedFor(reference ?? "")
  return tag === undefined ? undefined : `${repository}:${tag}`
}
