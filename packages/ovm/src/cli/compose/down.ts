import { inOrder } from "../../compose/order.ts"
import { OvmError } from "../../errors.ts"
import type { Runtime } from "../../runtime/interfaces.ts"
import { hasEnded } from "../../runtime/states.ts"
import { stopped } from "../stop.ts"
import type { Member } from "./labels.ts"
import { ofMachine } from "./of-machine.ts"
import type { Tell } from "./report.ts"

interface DownOptions {
  readonly tell: Tell
  /** What each guest may take to power off. */
  readonly seconds?: number | undefined
  readonly remove?: boolean
}

/**
 * Stops the machines, each once those have ended that need it, and removes them if asked. What fails is given back by
 * machine, and all that it needs is left as it is.
 */
export async function bringDown(
  runtime: Runtime,
  members: ReadonlyMap<string, Member>,
  { tell, seconds, remove = false }: DownOptions,
): Promise<ReadonlyMap<string, unknown>> {
  const failures = new Map<string, unknown>()
  const over = new Map<string, Promise<boolean>>()
  const end = async ({ machine, info }: Member): Promise<boolean> => {
    const users = members.values().filter(({ needs }) => needs.includes(machine))
    const gone = await Promise.all(users.map((user) => over.get(user.machine)))
    if (gone.includes(false)) return false
    try {
      if (!hasEnded(info.state)) {
        const { stop_method } = await stopped(runtime, info, seconds)
        tell(machine, stop_method === "killed" || stop_method === "ended" ? "ended" : "stopped")
      }
      if (remove) {
        await runtime.remove(info.instance_id, { force: true })
        tell(machine, "removed")
      }
      return true
    } catch (thrown) {
      // Somebody else was first.
      if (thrown instanceof OvmError && thrown.code === "OVM_INSTANCE_UNKNOWN") return true
      failures.set(machine, ofMachine(thrown, { machine, id: info.instance_id }))
      return false
    }
  }
  for (const member of backwards(members)) over.set(member.machine, end(member))
  await Promise.all(over.values())
  return failures
}

/** Each before what it needs. What waits for each other, as labels may say by now, goes as it comes. */
function backwards(members: ReadonlyMap<string, Member>): readonly Member[] {
  const found = inOrder(new Map(members.values().map(({ machine, needs }) => [machine, needs])))
  const order = "order" in found ? found.order.toReversed() : [...members.keys()]
  return order.flatMap((name) => members.get(name) ?? [])
}
