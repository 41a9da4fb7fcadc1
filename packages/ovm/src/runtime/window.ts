import type { AgentSession } from "../guest/agent/session.ts"
import type { Instance } from "./instance.ts"
import type { WindowSize } from "./interfaces.ts"

/** How large the terminal of whoever is attached is from now on: the agent is told, and each that comes later. */
export function resizeConsole(instance: Instance, window: WindowSize): void {
  instance.window = window
  const session = instance.agent?.current
  if (session) tellWindow(instance, session)
}

/** Nothing comes of it where nobody is attached, or where the agent does not know of consoles (OVMS-AGT-111). */
export function tellWindow({ window }: Instance, session: AgentSession): void {
  if (!window) return
  try {
    session.do(["console", `terminal=${window.rows}x${window.columns}`]).ending.catch(() => {})
  } catch {
    // It has gone, or has too much to do.
  }
}
