import type { Check } from "./check.ts"
import { packChecks } from "./checks/pack.ts"
import { pullChecks } from "./checks/pull.ts"
import { pullFaultChecks } from "./checks/pull-faults.ts"
import { pushChecks } from "./checks/push.ts"
import { signChecks } from "./checks/sign.ts"
import { vectorChecks } from "./checks/vectors.ts"
import { verifyChecks } from "./checks/verify.ts"
import type { Wrapper } from "./subject/wrapper.ts"
import { loadVectors } from "./vectors.ts"

/** All checks, by the kind of subject that they are about. */
export interface Suite {
  readonly wrapper: readonly Check<Wrapper>[]
}

export async function loadSuite(): Promise<Suite> {
  const vectors = await loadVectors()
  return {
    wrapper: [
      ...vectorChecks(vectors),
      ...packChecks,
      ...pullChecks,
      ...pullFaultChecks,
      ...pushChecks,
      ...signChecks,
      ...verifyChecks,
    ],
  }
}
