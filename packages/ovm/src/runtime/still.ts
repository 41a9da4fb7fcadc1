import type { Call } from "../content/interfaces.ts"
import { OvmError, toOvmError } from "../errors.ts"
import { CERTAIN_MS, freezeGuest } from "../guest/agent/freeze.ts"
import { agentInside } from "./agents.ts"
import type { Log } from "./ending.ts"
import type { Instance } from "./instance.ts"
import { hold, letGoOn } from "./scratch.ts"
import { setGuest } from "./set-guest.ts"

/**
 * Has the file systems of a guest that runs written out and frozen, its machine paused while `work` is done, and both
 * go on after that (OVMS-BLD-001), by whoever adopts it if need be. Its time stands still as well, so that the freeze
 * lasts. Throws OVM_GUEST_NOT_READY where they cannot be frozen, what agentInside and setGuest throw, and what `work`
 * does.
 */
export async function whileStill<T>(
  instance: Instance,
  work: () => Promise<T>,
  log: Log,
  call: Call,
): Promise<T> {
  const session = await agentInside(instance, call)
  const began = performance.now()
  using freeze = await freezeGuest(session).catch((thrown) => {
    const { code, message } = toOvmError(thrown)
    throw code === "OVM_AGENT_UNAVAILABLE" ? thrown : new OvmError("OVM_GUEST_NOT_READY", message)
  })
  await setGuest(instance, (machine) => hold(instance, machine), log).catch(async (thrown) => {
    await letGoOn(instance, false)
    throw thrown
  })
  try {
    if (performance.now() - began < CERTAIN_MS) return await work()
    throw new OvmError(
      "OVM_GUEST_NOT_READY",
      "its file systems may not have been frozen any more when it was paused",
    )
  } finally {
    // Whoever has stopped it meanwhile does not want it to go on.
    if (instance.state === "paused") await setGuest(instance, (machine) => machine.resume(), log)
    await letGoOn(instance, false)
    await freeze.held()
  }
}
