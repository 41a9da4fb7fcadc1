import { pointerToken } from "../../artifact/json.ts"
import type { PolicyDocument, ScopeDocument } from "./document.ts"

export interface ScopePlace {
  /** `default`, `local`, or the name of a scope. */
  readonly name: string
  /** JSON pointer into the policy. */
  readonly pointer: string
  readonly scope: ScopeDocument
}

/** All scopes of a policy, `default` first. */
export function placesOf({ default: fallback, local, scopes = {} }: PolicyDocument): ScopePlace[] {
  return [
    { name: "default", pointer: "/default", scope: fallback },
    ...(local ? [{ name: "local", pointer: "/local", scope: local }] : []),
    ...Object.entries(scopes).map(([name, scope]) => ({
      name,
      pointer: `/scopes/${pointerToken(name)}`,
      scope,
    })),
  ]
}
