import type { Call } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import { paths } from "../../host/paths.ts"
import type { EvidenceSource } from "../../signing/interfaces.ts"
import { Policy } from "../../signing/policy/policy.ts"
import { evidenceIn } from "../../signing/source.ts"
import { warn } from "../output.ts"
import type { FoundContainer } from "./find.ts"

const PLATFORM = "linux/amd64"
/** In an archive of Docker's there is nothing beside an image. */
const NONE: EvidenceSource = {
  fetch: ({ digest }) => Promise.reject(new OvmError("OVM_CONTENT_MISSING", `there is no ${digest}`)),
  async *referrers() {},
  tagged: async () => undefined,
}

/**
 * Holds a container image against the policy of this host, if there is one, as a machine that is started
 * (OVMS-BLD-058); `named` is what it was asked for by. Throws OVM_POLICY_REFUSED, OVM_POLICY_INVALID, and what reading
 * evidence throws.
 */
export async function admitContainer(
  { image, place }: FoundContainer,
  named: string,
  call: Call,
): Promise<void> {
  const policy = new Policy(paths().policy)
  if (!(await policy.check()).active) return
  const { digest, config } = image
  if (digest === undefined) return
  const { created } = config
  const machine = {
    digest,
    platform: PLATFORM,
    ...(created > 0 && { created: new Date(created * 1000).toISOString() }),
  }
  const root = place?.target.digest ?? digest
  const asked = {
    reference: named,
    ...(place?.reference && { name: place.reference }),
    digest: root,
    machine,
    ...(root !== digest && { index: root }),
  }
  const evidence = place ? evidenceIn(place.source) : NONE
  const { decision } = await policy.admit(asked, evidence, call)
  for (const warning of decision.warnings) warn(`${named}: ${warning}`)
}
