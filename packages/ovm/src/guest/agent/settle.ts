import { randomBytes } from "node:crypto"
import { toOvmError } from "../../errors.ts"
import { runHooks } from "./hooks.ts"
import type { AgentSession } from "./session.ts"
import type { StreamEnding } from "./stream.ts"

const SEED = 32

export type Note = (trouble: string | undefined) => void

/** A machine that goes on from a snapshot: its clock, its random bytes and its names are those of its source. */
export interface Resumed {
  /** Its own name. */
  readonly name: () => string
  /** When it was renewed already, as an earlier daemon has written down. */
  readonly renewed: string | undefined
  /** Plugs its network in. */
  readonly linkUp: () => Promise<void>
  /** It is one of its own from now on, a time in RFC 3339. */
  readonly onRenewed: (at: string) => void
}

/**
 * What is done before anything else is asked of an agent that has answered: random bytes for its guest, and a guest
 * that goes on is made a machine of its own (OVMS-AGT-050, OVMS-AGT-053, OVMS-AGT-054). `note` is told what goes wrong,
 * as a sentence. Throws OVM_AGENT_UNAVAILABLE.
 */
export async function settleGuest(session: AgentSession, note: Note, resumed?: Resumed): Promise<void> {
  // An agent does one after the other, and need not wait for us in between.
  const seeding = reseed(session)
  const clock = resumed && session.do(["time", `time=${Date.now()}000000`])
  const hooks =
    resumed && resumed.renewed === undefined
      ? runHooks(session, "post-resume", resumed.name())
      : Promise.resolve(undefined)
  hooks.catch(() => {})
  const unseeded = await seeding
  note(unseeded)
  if (clock) note(refusal("its clock could not be set", await clock.ending))
  const end = await hooks
  note(end?.trouble)
  // The network of one that could not be reseeded stays down: nobody is to meet it as it is.
  if (!resumed || unseeded !== undefined) return
  if (end) resumed.onRenewed(new Date().toISOString())
  const linked = resumed
    .linkUp()
    .catch((thrown) => note(`its network was not connected: ${toOvmError(thrown).message}`))
  if (!end?.ran) return
  await linked
  note((await runHooks(session, "link-up", resumed.name())).trouble)
}

/** Has the guest take 32 new random bytes. Gives why it could not; throws OVM_AGENT_UNAVAILABLE. */
export async function reseed(session: AgentSession): Promise<string | undefined> {
  const { ending } = session.do(["reseed", `seed=${randomBytes(SEED).toString("hex")}`])
  return refusal("its random bytes could not be renewed", await ending)
}

function refusal(what: string, ending: StreamEnding): string | undefined {
  return "refused" in ending ? `${what}: ${ending.refused}` : undefined
}
