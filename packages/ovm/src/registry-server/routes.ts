import { isRepository } from "../registry/reference.ts"
import { Refusal } from "./refusal.ts"

/** What a path names (distribution-spec: spec.md, "Endpoints"). */
export type Target =
  | { readonly kind: "version" | "catalog" }
  | { readonly kind: "tags" | "uploads"; readonly repository: string }
  | {
      readonly kind: "manifest" | "blob" | "referrers" | "upload"
      readonly repository: string
      readonly id: string
    }

// In this order: an upload's path is also that of a blob in a repository that ends in /blobs.
const PATHS = [
  [/^(.+)\/tags\/list$/, "tags"],
  [/^(.+)\/blobs\/uploads\/?$/, "uploads"],
  [/^(.+)\/blobs\/uploads\/([^/]+)$/, "upload"],
  [/^(.+)\/blobs\/([^/]+)$/, "blob"],
  [/^(.+)\/manifests\/([^/]+)$/, "manifest"],
  [/^(.+)\/referrers\/([^/]+)$/, "referrers"],
] as const

/** Throws 400 NAME_INVALID for a name that no repository can have, 404 UNSUPPORTED for any other unknown path. */
export function route(pathname: string): Target {
  if (pathname === "/v2/" || pathname === "/v2") return { kind: "version" }
  if (pathname === "/v2/_catalog") return { kind: "catalog" }
  const path = pathname.startsWith("/v2/") ? decoded(pathname.slice("/v2/".length)) : ""
  for (const [pattern, kind] of PATHS) {
    const [, repository, id] = pattern.exec(path) ?? []
    if (repository === undefined) continue
    if (!isRepository(repository)) throw invalidName(repository)
    if (kind === "tags" || kind === "uploads") return { kind, repository }
    if (id !== undefined) return { kind, repository, id }
  }
  throw new Refusal(404, "UNSUPPORTED", "there is no such path in the registry API")
}

/** Some clients write the colon of a digest as %3A. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    throw invalidName(path)
  }
}

export function invalidName(name: string): Refusal {
  return new Refusal(
    400,
    "NAME_INVALID",
    `${JSON.stringify(name.slice(0, 300))} is not the name of a repository`,
  )
}
