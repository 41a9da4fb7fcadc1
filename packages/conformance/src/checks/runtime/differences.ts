import type { ApiError } from "../../subject/answers.ts"

/** In what a snapshot differs from the host that it was to go on on (snapshot.md, OVMS-SNP-074). */
export interface Difference {
  readonly field: string
  readonly snapshot?: unknown
  readonly host?: unknown
}

/** Those that a refusal tells. */
export function differencesIn({ detail }: Pick<ApiError, "detail">): readonly Difference[] {
  return Array.isArray(detail) ? detail : []
}
