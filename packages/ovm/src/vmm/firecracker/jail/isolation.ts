import { join } from "node:path"
import { known } from "../../known.ts"
import type { Binary } from "../../program.ts"
import type { Capabilities } from "../../vmm.ts"
import type { Jailer } from "./place.ts"
import { tryJail } from "./probe.ts"
import type { JailSettings } from "./settings.ts"

interface Here {
  /** The jailer that there is. */
  readonly beside: Binary | undefined
  readonly jail: JailSettings
  /** Keeps what was found out. */
  readonly folder: string
}

export interface Isolation extends Required<Pick<Capabilities, "jailed">> {
  /** Present if machines are jailed. */
  readonly jailer?: Jailer
}

/** What does not work, by what was tried: it is tried again by the next daemon, since somebody may mend it. */
const faults = new Map<string, string>()

/** Whether the machines of a Firecracker are jailed, and with what; or why not. `key` is all that this depends on. */
export async function isolationOf(key: Binary, { beside, jail, folder }: Here): Promise<Isolation> {
  const not = (reason: string) => ({ jailed: { active: false, reason } })
  if (jail === false) return not("daemon.json has jail false")
  if (process.getuid?.() !== 0) return not("only a daemon of root jails machines")
  if (!beside) return not("there is no jailer beside Firecracker")
  const jailer = { path: beside.path, uids: jail }
  const name = JSON.stringify([key, folder])
  if (!faults.has(name))
    await known(join(folder, "firecracker-jail.json"), key, async () => {
      await tryJail(key.path, jailer, folder)
      return { works: true }
    }).catch((thrown: unknown) => faults.set(name, thrown instanceof Error ? thrown.message : `${thrown}`))
  const fault = faults.get(name)
  if (fault !== undefined) return not(`${beside.path} was tried: ${fault}`)
  const last = jail.from + jail.count - 1
  return { jailed: { active: true, reason: `by ${beside.path}, user ids ${jail.from} to ${last}` }, jailer }
}
