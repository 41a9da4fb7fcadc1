import { paths } from "../host/paths.ts"
import { pullImage } from "../images/pull.ts"
import { hasMachine, resolveHere } from "../images/resolve.ts"
import { takeIn } from "../images/take-in.ts"
import { isPath, parseReference } from "../registry/reference.ts"
import { Policy } from "../signing/policy/policy.ts"
import { explainUnknown, isUnknown } from "./names.ts"
import { warn } from "./output.ts"
import type { PlatformOption } from "./platform-option.ts"
import { registryAccess } from "./registry.ts"
import { openProgress } from "./terminal/progress.ts"

export const PULL_POLICIES = ["missing", "always", "never"] as const
export type PullPolicy = (typeof PULL_POLICIES)[number]

interface PullCall extends PlatformOption {
  readonly signal: AbortSignal
  readonly plainHttp?: boolean
}

/** What of the options of a command a pull needs. */
export function pullCall({ plainHttp, platform }: Omit<PullCall, "signal">, signal: AbortSignal): PullCall {
  return { signal, ...(plainHttp && { plainHttp }), ...(platform && { platform }) }
}

/**
 * Copies the image to this host as far as `policy` wants it: here and not in the daemon, for the bars. Throws
 * OVM_NAME_UNKNOWN for one that is not here and may not be copied.
 */
export async function pullByPolicy(image: string, policy: PullPolicy, call: PullCall): Promise<void> {
  if (isPath(image)) return
  const reference = parseReference(image)
  const rules = new Policy(paths().policy)
  const { active } = await rules.check()
  await takeIn(paths(), { durable: false }, async (store) => {
    if (policy !== "always" || reference.host === undefined) {
      try {
        const target = await resolveHere(store, reference, active, call)
        const fetchable = policy !== "never" && reference.host !== undefined
        if (!fetchable || (await hasMachine(store, target, call))) return
      } catch (thrown) {
        // A name without a host is local: there is nowhere to pull it from.
        if (!isUnknown(thrown) || policy === "never" || reference.host === undefined)
          throw explainUnknown(thrown, image)
      }
    }
    using progress = await openProgress()
    await pullImage(store, reference, rules, {
      ...registryAccess(),
      ...call,
      onProgress: progress.onProgress,
      onWarning: warn,
    })
  })
}
