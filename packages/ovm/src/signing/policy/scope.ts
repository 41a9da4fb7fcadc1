import type { Rules, Scope } from "./rules.ts"

/** What of a reference chooses a scope; undefined in its place is a path. */
export interface Name {
  readonly host: string | undefined
  readonly repository: string
  readonly tag: string | undefined
  readonly digest: string | undefined
}

export interface Chosen {
  readonly scope: Scope
  /** One sentence. */
  readonly why: string
}

/** The most specific scope for a name (OVMS-POL-012 to OVMS-POL-015). */
export function chooseScope({ fallback, local, scopes }: Rules, name: Name | undefined): Chosen {
  if (name?.host === undefined) {
    const what = name ? `${name.repository} has no registry` : "it is a path"
    if (local) return { scope: local, why: `${what}, so the scope local holds` }
    return { scope: fallback, why: `${what} and there is no scope local, so default holds` }
  }
  const { host, repository, tag, digest } = name
  const whole = `${host}/${repository}`
  const tagged = digest === undefined && tag !== undefined ? scopes.get(`${whole}:${tag}`) : undefined
  if (tagged) return { scope: tagged, why: "it is the scope of this very tag" }
  for (let path = whole; path !== host; path = path.slice(0, path.lastIndexOf("/"))) {
    const scope = scopes.get(path)
    if (scope) return { scope, why: `${path} is the longest path that the policy has for ${whole}` }
  }
  const scope = scopes.get(host)
  if (scope) return { scope, why: `the policy has no longer path for ${whole} than its host` }
  return { scope: fallback, why: `the policy has no scope for ${whole}, so default holds` }
}
