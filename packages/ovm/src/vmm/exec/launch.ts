import { setTimeout as sleep } from "node:timers/promises"
import type { Call } from "../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import { checkKernel } from "../../kernel.ts"
import { refuseFatal } from "../fatal.ts"
import { grantedDevices } from "../granted.ts"
import type { Machine, MachineRecord } from "../machine.ts"
import { makeFurther, makeOverlay } from "../overlays.ts"
import type { LaunchPlan, Unsupported } from "../plan.ts"
import { startLink } from "../process/added-ports.ts"
import { readExit } from "../process/exit.ts"
import { orFull } from "../process/full.ts"
import { killGroup } from "../process/group.ts"
import { removeGroups } from "../process/group-of-vmm.ts"
import { type Identity, startedIn } from "../process/identity.ts"
import type { Kept } from "../process/keeper.ts"
import { lastWords } from "../process/last-words.ts"
import { spawnLinked } from "../process/linked.ts"
import type { Capabilities } from "../vmm.ts"
import type { Adapter } from "./adapter.ts"
import { capabilitiesIn, type Prepared, preparedIn } from "./answers.ts"
import { connectionOf, framesOf, linkOf } from "./link.ts"
import { ExecMachine } from "./machine.ts"
import { planFor } from "./request.ts"

/** From spawn to the keeper's note: a millisecond, and more on a host that is far too busy. */
const SPAWN_MS = 60_000
const LOOK_MS = 1
/** How long a VMM that did not start may take to end. */
const GONE_MS = 1000

/** Vmm.launch of a VMM with an adapter of its own, whose `check` has found `findings`. */
export async function launchExec(
  adapter: Adapter,
  plan: LaunchPlan,
  findings: readonly Unsupported[],
  { signal }: Call,
): Promise<Machine> {
  refuseFatal(findings)
  if (plan.kernel) await checkKernel(plan.kernel.path)
  if (signal?.aborted) throw interrupted()
  const { directory, network } = plan
  const overlay = await makeOverlay(plan)
  await makeFurther(plan)
  const prepared = preparedIn(
    adapter.name,
    await adapter.ask("prepare", { plan: planFor(plan, overlay, framesOf(network)) }),
  )
  const aborted = Promise.withResolvers<never>()
  aborted.promise.catch(() => {})
  const abort = () => aborted.reject(interrupted())
  signal?.addEventListener("abort", abort)
  const began = performance.now()
  const link = linkOf(plan)
  let kept: Kept | undefined
  try {
    if (signal?.aborted) throw interrupted()
    kept = await spawnLinked(link, prepared.argv, plan)
    const identity = await Promise.race([identityIn(directory), aborted.promise])
    const spawned = performance.now()
    if (link && network)
      await Promise.race([startLink(link, directory, connectionOf(network)), aborted.promise])
    // What it says of itself is for the record, and asked while the VMM comes up.
    const told = await Promise.race([adapter.ask("capabilities"), aborted.promise])
    const found = capabilitiesIn(adapter.name, told)
    const record = recordOf(plan, { found, findings, identity, prepared, overlay })
    const timings = () => ({ spawn: spawned - began, load: performance.now() - spawned })
    return await Promise.race([ExecMachine.start(adapter, record, timings), aborted.promise])
  } catch (thrown) {
    link?.[Symbol.dispose]()
    const error = orFull(await inItsOwnWords(adapter.name, directory, toOvmError(thrown)), directory)
    if (kept) await killGroup(kept.group)
    removeGroups(directory)
    throw error
  } finally {
    signal?.removeEventListener("abort", abort)
  }
}

interface Facts {
  readonly found: Capabilities
  readonly findings: readonly Unsupported[]
  readonly identity: Identity
  readonly prepared: Prepared
  readonly overlay: string | undefined
}

function recordOf(plan: LaunchPlan, facts: Facts): MachineRecord {
  const { directory, accelerator, generationId } = plan
  const { found, findings, identity, prepared, overlay } = facts
  const { own, agent } = prepared
  return {
    vmm: found.name,
    version: found.version,
    accelerator: accelerator ?? found.accelerator,
    ...identity,
    directory,
    ...grantedDevices(plan, findings),
    ...(generationId !== undefined && { generationId }),
    ...(overlay !== undefined && { overlay }),
    own: { ...(own && { own }), ...(agent !== undefined && { agent }) },
  }
}

/** Waits until the keeper has noted which process it is. */
async function identityIn(directory: string): Promise<Identity> {
  for (const deadline = performance.now() + SPAWN_MS; performance.now() < deadline; await sleep(LOOK_MS)) {
    const identity = await startedIn(directory)
    if (identity) return identity
    if ((await readExit(directory)) !== undefined) break
  }
  throw new OvmError("OVM_VMM_FAILED", `no pid of the VMM was left in ${directory}`)
}

/** A start that failed because the VMM ended is told in its words. */
async function inItsOwnWords(name: string, directory: string, error: OvmError): Promise<OvmError> {
  if (error.code !== "OVM_VMM_FAILED") return error
  const last = await lastWords(directory, GONE_MS)
  if (!last) return error
  const { status, words } = last
  return new OvmError("OVM_VMM_FAILED", `${name} could not start (status ${status}): ${words}`, {
    cause: error,
    detail: { status, message: words },
  })
}

function interrupted(): OvmError {
  return new OvmError("OVM_INTERRUPTED", "starting the machine was interrupted")
}
