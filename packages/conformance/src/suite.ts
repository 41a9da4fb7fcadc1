import type { Check } from "./check.ts"
import { vectorChecks } from "./checks/vectors.ts"
import type { Wrapper } from "./subject/wrapper.ts"
import { loadVectors } from "./vectors.ts"

/** All checks, by the kind of subject that they are about. */
export interface Suite {
  readonly wrapper: readonly Check<Wrapper>[]
}

export async function loadSuite(): Promise<Suite> {
  const vectors = await loadVectors()
  return { wrapper: vectorChecks(vectors) }
}
